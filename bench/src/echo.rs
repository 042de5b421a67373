//! The yardstick: raw quinn, which sends each frame back as it came. Same TLS, same windows, one stream a connection, a
//! length before each frame, whatever was read in one go answered in one write. Nothing is understood or kept.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use hdrhistogram::Histogram;
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use tokio::sync::mpsc;

use crate::tls;

/// Serves until the process is killed.
pub async fn serve() {
    let endpoint = Endpoint::server(tls::server(), "127.0.0.1:0".parse().unwrap()).unwrap();
    println!("{{\"quic\":\"{}\"}}", endpoint.local_addr().unwrap());
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            let Ok(connection) = incoming.await else { return };
            if let Ok((writer, reader)) = connection.accept_bi().await {
                echo(writer, reader).await;
            }
        });
    }
}

/// Serves until the process is killed: what one connection sends goes to all others, through a queue a connection as a server
/// needs one. What is no longer than 8 bytes goes back to its sender.
pub async fn broadcast() {
    let endpoint = Endpoint::server(tls::server(), "127.0.0.1:0".parse().unwrap()).unwrap();
    println!("{{\"quic\":\"{}\"}}", endpoint.local_addr().unwrap());
    let all: Arc<Mutex<Vec<mpsc::Sender<Bytes>>>> = Arc::default();
    while let Some(incoming) = endpoint.accept().await {
        let all = Arc::clone(&all);
        tokio::spawn(async move {
            let Ok(connection) = incoming.await else { return };
            let Ok((mut writer, mut reader)) = connection.accept_bi().await else { return };
            let (sender, mut queue) = mpsc::channel::<Bytes>(64);
            all.lock().unwrap().push(sender.clone());
            let writing = tokio::spawn(async move {
                while let Some(frame) = queue.recv().await {
                    if writer.write_chunk(frame).await.is_err() {
                        break;
                    }
                }
            });
            let mut input = BytesMut::new();
            while let Ok(Some(chunk)) = reader.read_chunk(64 * 1024, true).await {
                input.extend_from_slice(&chunk.bytes);
                while let Some(frame) = frame(&mut input) {
                    let mut wire = BytesMut::with_capacity(frame.len() + 4);
                    put(&mut wire, &frame);
                    let wire = wire.freeze();
                    if frame.len() <= 8 {
                        let _ = sender.try_send(wire);
                        continue;
                    }
                    for other in all.lock().unwrap().iter().filter(|other| !other.same_channel(&sender)) {
                        let _ = other.try_send(wire.clone());
                    }
                }
            }
            writing.abort();
        });
    }
}

async fn echo(mut writer: SendStream, mut reader: RecvStream) {
    let mut input = BytesMut::new();
    let mut output = BytesMut::new();
    while let Ok(Some(chunk)) = reader.read_chunk(64 * 1024, true).await {
        input.extend_from_slice(&chunk.bytes);
        while let Some(frame) = frame(&mut input) {
            put(&mut output, &frame);
        }
        if !output.is_empty() && writer.write_all(&output).await.is_err() {
            break;
        }
        output.clear();
    }
}

fn frame(input: &mut BytesMut) -> Option<Bytes> {
    let len = u32::from_le_bytes(*input.first_chunk()?) as usize;
    if input.len() < 4 + len {
        return None;
    }
    input.advance(4);
    Some(input.split_to(len).freeze())
}

fn put(output: &mut BytesMut, frame: &[u8]) {
    output.put_u32_le(u32::try_from(frame.len()).unwrap());
    output.put_slice(frame);
}

/// A client of the yardstick.
pub struct EchoClient {
    /// The QUIC connection.
    pub connection: Connection,
    writer: SendStream,
    reader: RecvStream,
    input: BytesMut,
}

impl EchoClient {
    /// Connects and opens the stream.
    pub async fn connect(endpoint: &Endpoint, to: SocketAddr) -> Self {
        let connection = endpoint.connect(to, "echo").unwrap().await.unwrap();
        let (writer, reader) = connection.open_bi().await.unwrap();
        let mut client = Self { connection, writer, reader, input: BytesMut::new() };
        // The server hears of a stream with its first byte.
        client.send(&[0; 8]).await;
        client.next().await;
        client
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: &[u8]) {
        let mut output = BytesMut::with_capacity(4 + frame.len());
        put(&mut output, frame);
        self.writer.write_all(&output).await.unwrap();
    }

    /// The next frame.
    pub async fn next(&mut self) -> Bytes {
        loop {
            if let Some(frame) = frame(&mut self.input) {
                return frame;
            }
            let chunk = self.reader.read_chunk(64 * 1024, true).await.unwrap().unwrap();
            self.input.extend_from_slice(&chunk.bytes);
        }
    }
}

/// What the clients of one run share.
pub struct Shared {
    /// Round trips and their times in microseconds, while [`Shared::measuring`].
    pub times: std::sync::Mutex<Histogram<u64>>,
    /// Whether to count.
    pub measuring: std::sync::atomic::AtomicBool,
}

impl Default for Shared {
    fn default() -> Self {
        Self { times: std::sync::Mutex::new(histogram()), measuring: false.into() }
    }
}

/// Times in microseconds from 1 us to a minute, to three figures.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).unwrap()
}

/// One client with `window` frames of `len` bytes under way, until it is aborted.
pub async fn load(mut client: EchoClient, len: usize, window: usize, shared: Arc<Shared>) {
    let frame = vec![0x5a; len];
    let mut sent = VecDeque::new();
    loop {
        while sent.len() < window {
            sent.push_back(Instant::now());
            client.send(&frame).await;
        }
        client.next().await;
        let took = sent.pop_front().map_or(Duration::ZERO, |at| at.elapsed());
        if shared.measuring.load(std::sync::atomic::Ordering::Relaxed) {
            let micros = u64::try_from(took.as_micros()).unwrap();
            shared.times.lock().unwrap().saturating_record(micros.max(1));
        }
    }
}
