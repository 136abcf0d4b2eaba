//! How a ring's moments are told anew when the machine's clock is set.

use super::super::policy::{Policy, Rotation};
use super::super::state::{Next, PreActive};
use super::super::time::Timestamp;
use super::KeyRing;

impl KeyRing {
    /// The clock was set ahead by `seconds`: every wait stays as long as it was.
    pub(in crate::lifecycle) fn clock_set(&mut self, policy: Option<&Policy>, seconds: i64) {
        let shift = |moment: &mut Timestamp| *moment = moment.shifted(seconds);
        if let Some(Next::PreActive(PreActive { seen: Some(seen), .. })) = &mut self.0.next {
            shift(&mut seen.at);
            shift(&mut seen.may_sign_at);
        }
        for old in &mut self.0.retained {
            shift(&mut old.destroy_private_at);
            shift(&mut old.withdraw_at);
        }
        for gone in &mut self.0.compromised {
            gone.withdrawal_seen_at.iter_mut().for_each(shift);
        }
        for gone in &mut self.0.destroyed {
            gone.withdrawal_seen_at.iter_mut().for_each(shift);
        }
        let promise = &mut self.0.promise;
        promise.tokens_until.iter_mut().chain(&mut promise.caches_until).for_each(shift);
        if let Some(signer) = &mut self.0.signer {
            shift(&mut signer.activated_at);
            match policy.map(|policy| &policy.terms().rotation) {
                // A date of the calendar, of which another may have come between.
                Some(schedule @ Rotation::Schedule(_)) => {
                    signer.rotate_at = signer.rotate_at.min(schedule.due_after(signer.activated_at));
                }
                _ => shift(&mut signer.rotate_at),
            }
        }
    }
}
