//! Secrets for a connection's records, and the records that wait for them.
//!
//! In: sealed directions. Out: directions that can be opened, and what waited, in the order in which
//! it came. Never: keys kept beyond the direction that uses them.

use super::cipher::Opener;
use super::dissector::{MAX_UPDATES, TlsDissector};
use super::exchange::Moment;
use super::half::{Cover, Half, Record, Stage};
use super::keys::{self, Side, Suite};
use super::secrets::Label;
use crate::dissect::Output;
use crate::packet::Direction;

impl TlsDissector {
    /// Tells the budget of all streams what waits in this one.
    pub(super) fn account(&mut self) {
        let now = self.to_server.waiting_bytes + self.to_client.waiting_bytes;
        if now != self.kept
            && let Some(protocols) = &self.protocols
        {
            protocols.secrets().keep(self.kept, now);
            self.kept = now;
        }
    }

    pub(super) fn wait(&mut self, direction: Direction, record: &Record, out: &mut dyn Output) {
        let may_come = self.protocols.as_ref().is_some_and(|protocols| {
            let secrets = protocols.secrets();
            // What comes before the ServerHello cannot be looked up yet.
            !secrets.is_full() && (secrets.is_expected() || self.session.is_none())
        });
        if !may_come || !self.half(direction).wait(record) {
            self.lose(direction, record.at, out);
        }
    }

    pub(super) fn look_for_secrets(&mut self, out: &mut dyn Output) {
        let Some(protocols) = &self.protocols else {
            return;
        };
        let generation = protocols.secrets().generation();
        if self.looked_at == Some(generation) {
            return;
        }
        self.looked_at = Some(generation);
        for direction in [Direction::ToServer, Direction::ToClient] {
            if self.half(direction).is_sealed() {
                self.unseal(direction);
            }
        }
        self.drain(out);
    }

    /// Reads what waited, in the order in which it came.
    pub(super) fn drain(&mut self, out: &mut dyn Output) {
        loop {
            let first = |half: &Half| {
                let ready = half.waiting.front().filter(|_| half.is_ready());
                ready.map(|record| record.turn)
            };
            let (up, down) = (first(&self.to_server), first(&self.to_client));
            let direction = match (up, down) {
                (None, None) => return,
                (Some(up), Some(down)) if down < up => Direction::ToClient,
                (Some(_), _) => Direction::ToServer,
                (None, Some(_)) => Direction::ToClient,
            };
            if let Some(record) = self.half(direction).next_waiting() {
                self.protected(direction, &record, out);
                self.finish_if_done(record.at, out);
            }
        }
    }

    /// Gives up at once where no secret is there and none will come.
    pub(super) fn unseal_or_lose(
        &mut self,
        direction: Direction,
        at: Moment,
        out: &mut dyn Output,
    ) {
        let expected = self
            .protocols
            .as_ref()
            .is_some_and(|protocols| protocols.secrets().is_expected());
        if !self.unseal(direction) && !expected {
            self.lose(direction, at, out);
        }
    }

    /// Looks for the secret of a sealed direction.
    pub(super) fn unseal(&mut self, direction: Direction) -> bool {
        let half = self.half(direction);
        let (stage, updates) = (half.stage, half.updates);
        let cover = match self.opener(direction, stage, updates) {
            Some(opener) => Cover::Open(Box::new(opener)),
            None if stage == Stage::Early
                && self.opener(direction, Stage::Handshake, 0).is_some() =>
            {
                Cover::Trial
            }
            None => return false,
        };
        let half = self.half(direction);
        half.cover = cover;
        let first = stage == Stage::Application && !half.is_counted;
        half.is_counted |= first;
        if first && let Some(protocols) = &self.protocols {
            protocols.secrets().count_decrypted();
        }
        true
    }

    pub(super) fn opener(
        &self,
        direction: Direction,
        stage: Stage,
        updates: u32,
    ) -> Option<Opener> {
        let half = match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        };
        let session = half.session?;
        let secrets = self.protocols.as_ref()?.secrets();
        let random = session.client_random?;
        let suite = Suite::of(session.suite)?;
        let side = if direction == self.asking {
            Side::Client
        } else {
            Side::Server
        };
        if !session.is_13 {
            let master = secrets.find(&random, Label::ClientRandom)?;
            let keys = keys::tls12(suite, &master, &random, &session.server_random, side)?;
            return Opener::tls12(suite, &keys, session.encrypt_then_mac);
        }
        let label = match (stage, side) {
            (Stage::Early, Side::Client) => Label::ClientEarly,
            (Stage::Handshake, Side::Client) => Label::ClientHandshake,
            (Stage::Application, Side::Client) => Label::Client,
            (Stage::Early, Side::Server) => return None,
            (Stage::Handshake, Side::Server) => Label::ServerHandshake,
            (Stage::Application, Side::Server) => Label::Server,
        };
        let mut secret = secrets.find(&random, label)?.into_vec();
        for _ in 0..updates.min(MAX_UPDATES) {
            secret = keys::next_secret(suite.hash, &secret)?;
        }
        Opener::tls13(suite, &keys::tls13(suite, &secret)?)
    }
}
