//! The page of memory that tests and module share.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Calls that can be counted and harmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Function {
    Initialize,
    GetInfo,
    GetSlotList,
    GetTokenInfo,
    GetMechanismList,
    GetMechanismInfo,
    OpenSession,
    CloseSession,
    GetSessionInfo,
    Login,
    FindObjectsInit,
    FindObjects,
    FindObjectsFinal,
    GetAttributeValue,
    SetAttributeValue,
    GenerateKeyPair,
    DestroyObject,
    SignInit,
    Sign,
}

impl Function {
    /// Every call that changes what is in the token.
    pub const CHANGES: [Self; 3] = [Self::GenerateKeyPair, Self::SetAttributeValue, Self::DestroyObject];

    /// Every call.
    pub const ALL: [Self; 19] = [
        Self::Initialize,
        Self::GetInfo,
        Self::GetSlotList,
        Self::GetTokenInfo,
        Self::GetMechanismList,
        Self::GetMechanismInfo,
        Self::OpenSession,
        Self::CloseSession,
        Self::GetSessionInfo,
        Self::Login,
        Self::FindObjectsInit,
        Self::FindObjects,
        Self::FindObjectsFinal,
        Self::GetAttributeValue,
        Self::SetAttributeValue,
        Self::GenerateKeyPair,
        Self::DestroyObject,
        Self::SignInit,
        Self::Sign,
    ];
}

/// What is done instead of, or before, a call of the real module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Returns this code, and nothing is done.
    Return(u64),
    /// Returns some code of the standard but CKR_OK, and nothing is done.
    ReturnAny,
    /// Does it, and says that it has not been done.
    DoAndReturn(u64),
    /// Lasts until the rule is taken back.
    Hang,
    /// Lasts so many microseconds longer.
    Delay(u64),
    /// Writes to address 8.
    Crash,
    /// Ends all sessions of this process first.
    CloseSessions,
    /// Ends the process that started this one first.
    KillParent,
    /// Ends this process and the one that started it.
    KillBoth,
}

impl Act {
    fn words(self) -> (u64, u64) {
        match self {
            Self::Return(rv) => (1, rv),
            Self::ReturnAny => (2, 0),
            Self::DoAndReturn(rv) => (3, rv),
            Self::Hang => (4, 0),
            Self::Delay(micros) => (5, micros),
            Self::Crash => (6, 0),
            Self::CloseSessions => (7, 0),
            Self::KillParent => (8, 0),
            Self::KillBoth => (9, 0),
        }
    }

    fn from_words(act: u64, value: u64) -> Option<Self> {
        Some(match act {
            1 => Self::Return(value),
            2 => Self::ReturnAny,
            3 => Self::DoAndReturn(value),
            4 => Self::Hang,
            5 => Self::Delay(value),
            6 => Self::Crash,
            7 => Self::CloseSessions,
            8 => Self::KillParent,
            9 => Self::KillBoth,
            _ => return None,
        })
    }
}

/// Which calls are harmed, and how.
#[derive(Debug, Clone, Copy)]
pub struct Rule<'a> {
    pub functions: &'a [Function],
    pub act: Act,
    /// So many calls are spared first.
    pub skip: u64,
    /// So many are harmed; [`u64::MAX`] for all.
    pub times: u64,
    /// So many in a thousand of the others, chosen by chance.
    pub per_mille: u64,
}

/// The shared page.
#[derive(Debug)]
pub struct Control(&'static [AtomicU64; WORDS]);

impl Control {
    /// Maps the file, which is made if it is not there. It stays mapped.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.set_len(SIZE as u64)?;
        let (read_write, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a new mapping of a file of that size; it is never unmapped.
        let page = unsafe { libc::mmap(std::ptr::null_mut(), SIZE, read_write, shared, file.as_raw_fd(), 0) };
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the page is aligned, of that size, lives for ever, and holds nothing but atomics.
        Ok(Self(unsafe { &*page.cast::<[AtomicU64; WORDS]>() }))
    }

    /// From now on, instead of any other rule.
    pub fn set(&self, rule: Rule<'_>) {
        let Rule { functions, act, skip, times, per_mille } = rule;
        self.clear();
        let (act, value) = act.words();
        let mask = functions.iter().fold(0, |mask, function| mask | 1 << *function as u64);
        for (at, word) in [(MASK, mask), (VALUE, value), (SKIP, skip), (TIMES, times), (PER_MILLE, per_mille)] {
            self.0[at].store(word, SeqCst);
        }
        self.0[ACT].store(act, SeqCst);
    }

    /// No harm any more; what hangs goes on.
    pub fn clear(&self) {
        self.0[ACT].store(0, SeqCst);
    }

    /// How often a function was called so far, by all processes.
    pub fn calls(&self, function: Function) -> u64 {
        self.0[COUNTS + function as usize].load(SeqCst)
    }

    /// How many calls were harmed so far.
    pub fn harmed(&self) -> u64 {
        self.0[HARMED].load(SeqCst)
    }

    /// Counts a call, and says what is to become of it.
    pub(crate) fn called(&self, function: Function) -> Option<Act> {
        self.0[COUNTS + function as usize].fetch_add(1, SeqCst);
        let act = self.0[ACT].load(SeqCst);
        if act == 0 || self.0[MASK].load(SeqCst) & (1 << function as u64) == 0 {
            return None;
        }
        let take = |at: usize| {
            self.0[at].fetch_update(SeqCst, SeqCst, |n| (n != u64::MAX).then(|| n.checked_sub(1)).flatten()).is_ok()
        };
        let per_mille = self.0[PER_MILLE].load(SeqCst);
        if take(SKIP) || (per_mille < 1000 && self.chance() % 1000 >= per_mille) {
            return None;
        }
        if self.0[TIMES].load(SeqCst) != u64::MAX && !take(TIMES) {
            return None;
        }
        self.0[HARMED].fetch_add(1, SeqCst);
        Act::from_words(act, self.0[VALUE].load(SeqCst))
    }

    pub(crate) fn is_hanging(&self) -> bool {
        self.0[ACT].load(SeqCst) == Act::Hang.words().0
    }

    /// SplitMix64 over a shared counter.
    pub(crate) fn chance(&self) -> u64 {
        let mut z = self.0[CHANCE].fetch_add(0x9e37_79b9_7f4a_7c15, SeqCst);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

const SIZE: usize = 4096;
const WORDS: usize = SIZE / 8;

const ACT: usize = 0;
const MASK: usize = 1;
const VALUE: usize = 2;
const SKIP: usize = 3;
const TIMES: usize = 4;
const PER_MILLE: usize = 5;
const CHANCE: usize = 6;
const HARMED: usize = 7;
const COUNTS: usize = 16;
