//! What a verification knows of the records that it has read so far.

use std::collections::VecDeque;

use super::checkpoint::{Checkpoint, CheckpointError, CheckpointKeys};
use super::digest::Digest;
use super::error::{Fault, Flaw};
use super::event::Event;
use super::ledger::Ledger;
use super::reader::Place;
use super::scan::Record;
use super::verify::{Start, Vouched};
use crate::ids::Kid;

/// How far back a checkpoint in the log may reach: its record is appended as soon as it is signed, so this is
/// far more than lies between; and no more hashes need to be remembered.
pub const REACH: u64 = 1 << 20;

/// A checkpoint from outside of the log, whose signature is proven.
#[derive(Debug, Clone)]
pub struct Witness {
    /// What to call it: the name of its file.
    pub name: String,
    pub checkpoint: Checkpoint,
    pub kid: Kid,
    pub origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Somebody kept it elsewhere.
    Given,
    /// It lay beside the log.
    Beside,
}

#[derive(Debug, Clone)]
pub struct Check {
    start: Start,
    keys: CheckpointKeys,
    witnesses: Vec<Witness>,
    pub ledger: Ledger,
    /// The number of the first record.
    pub first: Option<u64>,
    /// The last record: number, hash, and whether it says that the daemon stopped.
    pub newest: Option<(u64, Digest, bool)>,
    /// The hashes of the last records, the newest at the end.
    hashes: VecDeque<Digest>,
    /// The newest checkpoint that fits.
    pub vouched: Option<Vouched>,
    /// How many checkpoints are in the log.
    pub checkpoints: u64,
}

impl Check {
    pub fn new(start: Start, keys: CheckpointKeys, witnesses: Vec<Witness>) -> Self {
        Self {
            start,
            keys,
            witnesses,
            ledger: Ledger::default(),
            first: None,
            newest: None,
            hashes: VecDeque::new(),
            vouched: None,
            checkpoints: 0,
        }
    }

    /// Takes in one record, in the order of the log.
    pub fn take(&mut self, record: &Record) -> Result<(), Flaw> {
        match &record.event {
            // A start trusts the last header alone, so it had better say what the segments before it say.
            Event::Segment(header)
                if self.first.is_some() && self.ledger != Ledger::of(&header.anchors, &header.intents) =>
            {
                return Err(Flaw::Ledger);
            }
            Event::Checkpoint { kid, jws } => self.checkpoint(record.seq, kid, jws)?,
            _ => {}
        }
        let here = |witness: &&Witness| witness.checkpoint.seq == record.seq;
        if let Some(witness) = self.witnesses.iter().find(here) {
            if witness.checkpoint.hash != record.hash {
                return Err(Flaw::Contradicted { seq: record.seq, by: witness.name.as_str().into() });
            }
            self.vouched = newer(self.vouched.take(), &witness.checkpoint, &witness.kid);
        }
        self.ledger.record(&record.event);
        self.first = self.first.or(Some(record.seq));
        self.newest = Some((record.seq, record.hash, record.event == Event::Stopped {}));
        if self.hashes.len() as u64 == REACH {
            self.hashes.pop_front();
        }
        self.hashes.push_back(record.hash);
        Ok(())
    }

    fn checkpoint(&mut self, at: u64, named: &Kid, jws: &str) -> Result<(), Flaw> {
        let (checkpoint, kid) = self.keys.verify(jws)?;
        if kid != *named {
            return Err(CheckpointError::Signature(named.clone()).into());
        }
        let known = self.vouched.as_ref().map(|vouched| &vouched.installation);
        if let Some(expected) = known.filter(|known| **known != checkpoint.installation) {
            let (expected, found) = (expected.clone(), checkpoint.installation);
            return Err(CheckpointError::Installation { expected, found }.into());
        }
        // How many records lie between it and the one that it is about.
        let between = at.checked_sub(checkpoint.seq + 1).and_then(|between| usize::try_from(between).ok());
        let hash = between.and_then(|between| {
            let index = self.hashes.len().checked_sub(between + 1)?;
            self.hashes.get(index)
        });
        let is_archived = self.start == Start::Anywhere && self.first.is_none_or(|first| checkpoint.seq < first);
        match hash {
            Some(hash) if *hash != checkpoint.hash => {
                return Err(Flaw::Contradicted { seq: checkpoint.seq, by: format!("record {at}").into() });
            }
            None if !is_archived => return Err(CheckpointError::Elsewhere(checkpoint.seq).into()),
            Some(_) | None => {}
        }
        self.checkpoints += 1;
        self.vouched = newer(self.vouched.take(), &checkpoint, &kid);
        Ok(())
    }

    /// Holds the end of the log against the checkpoints from outside. `place`: of the last record.
    pub fn end(&self, place: &Place) -> Result<(), Fault> {
        let (Some(first), Some((last, _, _))) = (self.first, self.newest) else { return Ok(()) };
        let Place { file, line } = place.clone();
        for witness in &self.witnesses {
            let (by, seq) = (witness.name.as_str().into(), witness.checkpoint.seq);
            if seq > last {
                return Err(Fault::CutOff { file: file.into(), line, last, by, seq });
            }
            // Nobody asked about the one that lies beside the log, and it may be as old as what was archived.
            if seq < first && witness.origin == Origin::Given {
                return Err(Fault::Record { file, line, flaw: Flaw::Archived { by, seq } });
            }
        }
        Ok(())
    }
}

fn newer(known: Option<Vouched>, checkpoint: &Checkpoint, kid: &Kid) -> Option<Vouched> {
    let Checkpoint { installation, seq, hash: _, at } = checkpoint.clone();
    let found = Vouched { installation, seq, at, kid: kid.clone() };
    Some(known.filter(|known| known.seq >= seq).unwrap_or(found))
}
