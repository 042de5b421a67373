//! This account's devices: listing, removing, logging out.

use serde_bytes::ByteArray;
use subrosa_crypto::verify::device_list::{DeviceList, SignedDeviceList};
use subrosa_protocol::{
    BoundedBytes, ErrorCode,
    frames::{DeviceListPublish, Request, Response, SignedList},
};

use super::{Asked, Core, Effect, Fault, Turn, lists, me::Retired};
use crate::{
    api::{ApiError, Device, Kind, Reply, time::Timestamp},
    net::refused,
};

/// A list on its way to the relay.
#[derive(Debug)]
pub(super) struct Publishing {
    token: u64,
    list: SignedDeviceList,
    logout: bool,
}

impl Core {
    /// `device.list`.
    pub(super) fn own_devices(&self) -> Result<Reply, Fault> {
        let known = self.store.read(|tx| tx.device_list(&self.me.account))?;
        let devices = known.map(|known| known.list.devices).unwrap_or_default();
        let devices = devices.into_iter().map(|entry| Device {
            device: entry.device_id,
            added_at: Timestamp(entry.added_at),
            this: entry.device_id == self.me.device.get(),
        });
        Ok(Reply::Devices { devices: devices.collect() })
    }

    /// `device.remove`, and `account.logout` for this one: publishes a list without the device.
    pub(super) fn remove_device(
        &mut self,
        turn: &mut Turn<'_>,
        token: u64,
        device: u32,
        logout: bool,
    ) -> Result<(), Fault> {
        let keys = self.me.keys()?;
        if !self.link.is_up() {
            return Err(ApiError::new(Kind::Unreachable, "the relay must know, and cannot be reached")
                .hint("try again when connected")
                .into());
        }
        if device == self.me.device.get() && !logout {
            return Err(ApiError::new(Kind::Refused, "this is the device you are using")
                .hint("rosa logout")
                .into());
        }
        let known =
            self.store.read(|tx| tx.device_list(&self.me.account))?.ok_or(Fault::Internal("own list"))?;
        if known.list.device(device).is_none() {
            return Err(ApiError::new(Kind::NotFound, format!("there is no device {device}")).into());
        }
        let mut next =
            DeviceList { version: known.list.version.saturating_add(1), prev_hash: known.hash, ..known.list };
        next.devices.retain(|entry| entry.device_id != device);
        let list = keys.account.sign_device_list(&next).map_err(|_| Fault::Internal("own list"))?;
        let device_list = SignedList {
            bytes: BoundedBytes::new(list.bytes.clone()).map_err(|_| Fault::Internal("own list"))?,
            signature: ByteArray::new(list.signature),
        };
        if logout {
            self.waits.logging_out = Some(token);
        }
        let publishing = Publishing { token, list, logout };
        self.ask(
            turn,
            Asked::Publish(publishing),
            &Request::DeviceListPublish(DeviceListPublish { device_list }),
        )
    }

    pub(super) fn on_published(
        &mut self,
        turn: &mut Turn<'_>,
        publishing: Publishing,
        response: Response,
    ) -> Result<(), Fault> {
        let Publishing { token, list, logout } = publishing;
        match response {
            Response::Done(_) if logout => {
                self.finish_logout(turn);
                Ok(())
            }
            Response::Done(_) => {
                let account = self.me.account.clone();
                self.transact(turn, |w| {
                    lists::follow(w, &account, std::slice::from_ref(&list), false, "").map(drop)
                })?;
                turn.out.push(Effect::Reply { token, result: Ok(Reply::Done {}) });
                self.own_devices_changed(turn)
            }
            Response::Error(frame) => {
                self.waits.logging_out = None;
                let mut error = refused(&frame);
                if frame.code == ErrorCode::Conflict {
                    self.lookups.want([self.me.account.clone()].into(), [].into());
                    error = ApiError::new(Kind::Refused, "the account's devices changed meanwhile")
                        .hint("try again");
                }
                turn.out.push(Effect::Reply { token, result: Err(error) });
                Ok(())
            }
            _ => {
                self.waits.logging_out = None;
                let fault = Fault::Relay("another answer to a device list than there is");
                turn.out.push(Effect::Reply { token, result: Err(fault.into()) });
                self.drop_connection(turn);
                Ok(())
            }
        }
    }

    /// The connection broke before the relay answered.
    pub(super) fn not_published(&mut self, turn: &mut Turn<'_>, publishing: &Publishing) {
        self.waits.logging_out = None;
        let error =
            ApiError::new(Kind::Unreachable, "the connection broke; whether the relay knows is not clear")
                .hint("look at the list of devices when connected again");
        turn.out.push(Effect::Reply { token: publishing.token, result: Err(error) });
    }

    /// The relay knows this device no more: neither does this profile.
    pub(super) fn finish_logout(&mut self, turn: &mut Turn<'_>) {
        let Some(token) = self.waits.logging_out.take() else { return };
        let forgotten = self.transact(turn, |w| Ok(w.tx.forget_keys()?));
        self.me.keys = None;
        self.forget_rooms();
        self.me.retired = Some(Retired::LoggedOut);
        let result = forgotten.map(|()| Reply::Done {}).map_err(ApiError::from);
        turn.out.push(Effect::Reply { token, result });
        if let Some(error) = self.me.refusal() {
            self.block(turn, error);
        }
    }
}
