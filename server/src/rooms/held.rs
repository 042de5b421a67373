//! Objects that a connection has put and not yet used (R4).
//!
//! They are in memory only, out of a budget of their own: at most so many and so many bytes a connection, and each for a
//! minute. A request that names one takes it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use subrosa_protocol::{
    ErrorCode,
    frames::{ObjectHash, ObjectPut, ObjectRef},
    limits::{OBJECT_BYTES, OBJECT_PIECE_BYTES, OBJECTS_IN_FLIGHT},
};
use tokio::time::Instant;

use crate::{
    handlers::Refusal,
    limits::{OBJECTS_HELD, OBJECTS_HELD_BYTES},
    memory::{Budget, Share},
    rate::RetryAfter,
    store::Object,
};

/// How long an object waits to be used.
const PATIENCE: Duration = Duration::from_secs(60);

/// The objects of one connection.
#[derive(Debug, Default)]
pub(crate) struct Held {
    objects: Mutex<Vec<One>>,
}

#[derive(Debug)]
struct One {
    object: ObjectRef,
    bytes: BytesMut,
    hash: Sha256,
    since: Instant,
    /// What covers `bytes` in the budget.
    _share: Share,
}

impl One {
    fn is_whole(&self) -> bool {
        self.bytes.len() == size(&self.object)
    }
}

impl Held {
    /// Takes a piece.
    pub(crate) fn put(&self, budget: &Arc<Budget>, put: &ObjectPut, now: Instant) -> Result<(), Refusal> {
        let size = size(&put.object);
        if size == 0 || size > OBJECT_BYTES {
            return Err(Refusal::new(ErrorCode::TooLarge, "an object has 1 byte to 1 MiB"));
        }
        let mut objects = lock(&self.objects);
        forget_old(&mut objects, now);
        if put.offset == 0 {
            objects.retain(|one| one.object.hash != put.object.hash);
            if objects.iter().filter(|one| !one.is_whole()).count() >= OBJECTS_IN_FLIGHT {
                return Err(Refusal::new(ErrorCode::TooLarge, "too many objects in flight"));
            }
            let bytes: usize = objects.iter().map(|one| self::size(&one.object)).sum();
            if objects.len() >= OBJECTS_HELD || bytes + size > OBJECTS_HELD_BYTES {
                return Err(Refusal::new(ErrorCode::TooLarge, "too many objects that were not used"));
            }
            let mut share = budget.share();
            if !share.cover(size) {
                return Err(RetryAfter(Duration::from_secs(1)).into());
            }
            objects.push(One {
                object: put.object,
                bytes: BytesMut::new(),
                hash: Sha256::new(),
                since: now,
                _share: share,
            });
        }
        let at = objects.iter().position(|one| one.object == put.object);
        let Some((at, one)) = at.and_then(|at| objects.get_mut(at).map(|one| (at, one))) else {
            return Err(Refusal::new(ErrorCode::NoSuchObject, "the object was not begun, or is too old"));
        };
        let next = one.bytes.len();
        let expected = OBJECT_PIECE_BYTES.min(size - next);
        if usize::try_from(put.offset).ok() != Some(next) || expected == 0 || put.piece.len() != expected {
            return Err(Refusal::bad_request("a piece of another place or length than the next one"));
        }
        one.hash.update(&put.piece[..]);
        one.bytes.extend_from_slice(&put.piece);
        if one.is_whole() && <[u8; 32]>::from(one.hash.clone().finalize()) != put.object.hash.0 {
            objects.remove(at);
            return Err(Refusal::new(ErrorCode::WrongHash, "the object is not what its name says"));
        }
        Ok(())
    }

    /// Takes an object out, to use it.
    pub(crate) fn take(&self, hash: ObjectHash) -> Result<Object, Refusal> {
        let mut objects = lock(&self.objects);
        let at = objects.iter().position(|one| one.object.hash == hash && one.is_whole());
        let at =
            at.ok_or_else(|| Refusal::new(ErrorCode::NoSuchObject, "the object was not put, or is too old"))?;
        let bytes: Bytes = objects.swap_remove(at).bytes.freeze();
        Ok(Object { hash: hash.0, bytes })
    }
}

/// Every connection's objects, to forget those that nobody used.
#[derive(Debug, Default)]
pub(crate) struct AllHeld {
    all: Mutex<Vec<Weak<Held>>>,
}

impl AllHeld {
    /// A new connection's.
    pub(crate) fn begin(&self) -> Arc<Held> {
        let held = Arc::new(Held::default());
        lock(&self.all).push(Arc::downgrade(&held));
        held
    }

    /// Drops what was not used in time.
    pub(crate) fn sweep(&self, now: Instant) {
        lock(&self.all).retain(|held| match held.upgrade() {
            None => false,
            Some(held) => {
                forget_old(&mut lock(&held.objects), now);
                true
            }
        });
    }
}

fn forget_old(objects: &mut Vec<One>, now: Instant) {
    objects.retain(|one| one.since + PATIENCE > now);
}

fn size(object: &ObjectRef) -> usize {
    usize::try_from(object.size).unwrap_or(usize::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use subrosa_protocol::BoundedBytes;

    use super::*;

    fn pieces(bytes: &[u8]) -> Vec<ObjectPut> {
        let hash = ObjectHash(Sha256::digest(bytes).into());
        let object = ObjectRef { hash, size: u32::try_from(bytes.len()).unwrap() };
        let cut = bytes.chunks(OBJECT_PIECE_BYTES).enumerate();
        cut.map(|(number, piece)| ObjectPut {
            object,
            offset: u32::try_from(number * OBJECT_PIECE_BYTES).unwrap(),
            piece: BoundedBytes::new(piece).unwrap(),
        })
        .collect()
    }

    #[tokio::test]
    async fn r4_objects_come_in_pieces_and_are_taken_once() {
        let (held, budget, now) = (Held::default(), Budget::new(4 << 20), Instant::now());
        let bytes = vec![7; 150_000];
        let all = pieces(&bytes);
        assert_eq!(all.len(), 3);
        for piece in &all {
            assert!(held.take(piece.object.hash).is_err(), "not yet whole");
            held.put(&budget, piece, now).unwrap();
        }
        assert!(held.take(all[0].object.hash).unwrap().bytes == bytes);
        assert!(held.take(all[0].object.hash).is_err(), "taken");
        let mut share = budget.share();
        assert!(share.cover(4 << 20), "everything is given back");
    }

    #[tokio::test]
    async fn r4_wrong_hashes_places_lengths_and_one_past_each_bound_are_refused() {
        let (held, budget, now) = (Held::default(), Budget::new(8 << 20), Instant::now());
        let code = |put: &ObjectPut| held.put(&budget, put, now).unwrap_err().code;
        let all = pieces(&vec![1; 150_000]);
        assert_eq!(code(&all[1]), ErrorCode::NoSuchObject);
        held.put(&budget, &all[0], now).unwrap();
        assert_eq!(code(&all[2]), ErrorCode::BadRequest);
        let mut wrong = pieces(b"right").remove(0);
        wrong.piece = BoundedBytes::new(&b"wrong"[..]).unwrap();
        assert_eq!(code(&wrong), ErrorCode::WrongHash);
        assert!(held.take(wrong.object.hash).is_err());
        for size in [0, OBJECT_BYTES + 1] {
            let mut sized = pieces(b"x").remove(0);
            sized.object.size = u32::try_from(size).unwrap();
            assert_eq!(code(&sized), ErrorCode::TooLarge, "{size}");
        }
        held.put(&budget, &pieces(&vec![2; 70_000])[0], now).unwrap();
        assert_eq!(code(&pieces(&vec![3; 70_000])[0]), ErrorCode::TooLarge, "a third in flight");
        assert!(held.take(all[0].object.hash).is_err());
        // Those that are whole have a bound as well, in number and in bytes.
        let held = Held::default();
        for number in 0..OBJECTS_HELD {
            held.put(&budget, &pieces(&[9, u8::try_from(number).unwrap()])[0], now).unwrap();
        }
        assert_eq!(held.put(&budget, &pieces(b"more")[0], now).unwrap_err().code, ErrorCode::TooLarge);
        let held = Held::default();
        let large = |byte| pieces(&vec![byte; OBJECT_BYTES]);
        for byte in 0..u8::try_from(OBJECTS_HELD_BYTES / OBJECT_BYTES).unwrap() {
            large(byte).iter().for_each(|piece| held.put(&budget, piece, now).unwrap());
        }
        assert_eq!(held.put(&budget, &large(99)[0], now).unwrap_err().code, ErrorCode::TooLarge);
        let none = Budget::new(10);
        let refused = Held::default().put(&none, &pieces(&[1; 11])[0], now).unwrap_err();
        assert_eq!(refused.code, ErrorCode::RateLimited);
    }

    #[tokio::test]
    async fn what_nobody_uses_is_forgotten() {
        let (all, budget, now) = (AllHeld::default(), Budget::new(100), Instant::now());
        let held = all.begin();
        let put = pieces(&[5; 100]).remove(0);
        held.put(&budget, &put, now).unwrap();
        all.sweep(now + PATIENCE - Duration::from_millis(1));
        let mut share = budget.share();
        assert!(!share.cover(1));
        all.sweep(now + PATIENCE);
        assert!(share.cover(100) && held.take(put.object.hash).is_err());
        drop(held);
        all.sweep(now);
        assert!(lock(&all.all).is_empty());
    }
}
