//! Who was shown which token when, what they said, and what they should have said.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jwksd::server::api::{CompromiseReport, Token};

use super::library::{Library, Running, Verdict};
use crate::support::daemon::{monotonic, now};

/// A declared compromise.
#[derive(Debug)]
pub struct Compromise {
    /// When it was asked for, on the steady clock.
    pub asked: Duration,
    pub report: CompromiseReport,
}

impl Compromise {
    /// The moment at which this library was announced to have dropped the key.
    fn dropped_at(&self, library: Library) -> Option<i64> {
        let name = format!("our-{}", library.service);
        let announced = self.report.verifiers.iter().find(|verifier| verifier.verifier == name)?;
        Some(announced.dropped_at?.0.as_second())
    }
}

/// Everything that happened.
#[derive(Debug, Default)]
pub struct Ledger {
    tokens: Vec<Entry>,
    showings: Vec<Showing>,
}

#[derive(Debug)]
struct Entry {
    algorithm: &'static str,
    token: Token,
    is_shown_again: bool,
}

/// One token, shown to one library.
#[derive(Debug)]
struct Showing {
    token: usize,
    library: Library,
    shown_at: Duration,
    shown_now: i64,
    verdict: Option<Verdict>,
}

impl Ledger {
    /// Adds a token and returns its number.
    pub fn add(&mut self, algorithm: &'static str, token: Token) -> usize {
        self.tokens.push(Entry { algorithm, token, is_shown_again: false });
        self.tokens.len() - 1
    }

    /// Shows a token to a library.
    pub fn show(&mut self, token: usize, library: &Running) {
        let entry = &self.tokens[token];
        let showing =
            Showing { token, library: library.library(), shown_at: monotonic(), shown_now: now(), verdict: None };
        if library.show(self.showings.len(), &entry.token.token, entry.algorithm) {
            self.showings.push(showing);
        }
    }

    /// Tokens that end by then and were not asked for before.
    pub fn ending_by(&mut self, second: i64) -> Vec<usize> {
        let mut ending = Vec::new();
        for (id, entry) in self.tokens.iter_mut().enumerate() {
            if !entry.is_shown_again && entry.token.expires_at.0.as_second() <= second {
                entry.is_shown_again = true;
                ending.push(id);
            }
        }
        ending
    }

    /// Tokens of that key which are valid for longer than that.
    pub fn alive(&self, kid: &str, second: i64) -> Vec<usize> {
        let alive = |entry: &Entry| entry.token.kid == kid && entry.token.expires_at.0.as_second() > second;
        (0..self.tokens.len()).rev().filter(|id| alive(&self.tokens[*id])).collect()
    }

    /// Takes down what a library has said, and waits for what it still has to say.
    pub fn hear(&mut self, library: &Running) {
        let expected = self.showings.iter().filter(|showing| showing.verdict.is_none());
        let expected = expected.filter(|showing| showing.library.name == library.library().name).count();
        let mut missing = expected;
        crate::support::daemon::until(crate::support::daemon::PATIENCE, || {
            for verdict in library.verdicts() {
                missing = missing.saturating_sub(1);
                let id = verdict.id;
                self.showings[id].verdict = Some(verdict);
            }
            (missing == 0).then_some(())
        });
    }

    /// How many tokens there were.
    pub fn tokens(&self) -> usize {
        self.tokens.len()
    }

    /// How many showings were never answered.
    pub fn unheard(&self, library: &str) -> usize {
        self.showings.iter().filter(|showing| showing.library.name == library && showing.verdict.is_none()).count()
    }

    /// The versions of which the library accepted tokens.
    pub fn accepted_kids(&self, library: &str, algorithm: &str) -> BTreeSet<&str> {
        let accepted = |showing: &&Showing| {
            let is_accepted = showing.verdict.as_ref().is_some_and(|verdict| verdict.rejected.is_none());
            showing.library.name == library && is_accepted && self.tokens[showing.token].algorithm == algorithm
        };
        self.showings.iter().filter(accepted).map(|showing| self.tokens[showing.token].token.kid.as_str()).collect()
    }

    /// How often the library was shown a leaked token that had time left, after it was to have dropped the key.
    pub fn shown_after_drop(&self, library: &str, leak: &Compromise) -> usize {
        let after = |showing: &&Showing| showing.library.name == library && self.is_after_drop(showing, leak);
        self.showings.iter().filter(after).count()
    }

    fn is_after_drop(&self, showing: &Showing, leak: &Compromise) -> bool {
        let token = &self.tokens[showing.token].token;
        let dropped = leak.dropped_at(showing.library).is_some_and(|dropped| showing.shown_now >= dropped);
        token.kid == leak.report.kid && dropped && self.is_answered_in_time(showing)
    }

    /// Whether the token was valid, by the clock, when the verdict was heard.
    fn is_answered_in_time(&self, showing: &Showing) -> bool {
        let exp = self.tokens[showing.token].token.expires_at.0.as_second();
        showing.verdict.as_ref().is_some_and(|verdict| verdict.now < exp)
    }

    /// Every verdict that should have been another.
    pub fn faults(&self, leak: &Compromise) -> Vec<String> {
        self.showings.iter().filter_map(|showing| self.fault(showing, leak)).collect()
    }

    fn fault(&self, showing: &Showing, leak: &Compromise) -> Option<String> {
        let Entry { algorithm, token, .. } = &self.tokens[showing.token];
        let verdict = showing.verdict.as_ref()?;
        let (library, kid) = (showing.library.name, &token.kid);
        let age = (verdict.at - showing.shown_at).as_millis();
        if token.kid != leak.report.kid || verdict.at < leak.asked {
            let reason = verdict.rejected.as_ref().filter(|_| self.is_answered_in_time(showing))?;
            let left = token.expires_at.0.as_second() - verdict.now;
            return Some(format!(
                "{} {library} rejected a valid token of {algorithm} key {kid} with {left} s left, {age} ms after it was \
                 shown: {reason}",
                verdict.now
            ));
        }
        if !self.is_after_drop(showing, leak) {
            return None;
        }
        match &verdict.rejected {
            None => {
                let late = leak.dropped_at(showing.library).map(|dropped| showing.shown_now - dropped);
                Some(format!("{library} accepted a leaked key {late:?} s after the announced moment"))
            }
            Some(reason) if reason.to_lowercase().contains("expired") => {
                Some(format!("{library} rejected a leaked token for its age, not for its key: {reason}"))
            }
            Some(_) => None,
        }
    }

    /// How many verdicts of each kind each library gave.
    pub fn summary(&self) -> String {
        let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for showing in &self.showings {
            let (accepted, rejected) = counts.entry(showing.library.name).or_default();
            match &showing.verdict {
                Some(Verdict { rejected: None, .. }) => *accepted += 1,
                Some(_) => *rejected += 1,
                None => {}
            }
        }
        counts.retain(|_, (accepted, rejected)| *accepted + *rejected > 0);
        let each = counts
            .iter()
            .map(|(name, (accepted, rejected))| format!("{name} {accepted} accepted, {rejected} rejected"));
        format!("{} tokens; {}", self.tokens.len(), each.collect::<Vec<_>>().join("; "))
    }
}
