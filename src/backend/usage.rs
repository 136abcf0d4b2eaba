//! What a backend's keys and signatures cost, and how much of its quotas is used.

use std::fmt;
use std::iter::Sum;

use crate::jose::alg::KeySpec;

/// What a backend that costs money says of itself, without asking anybody.
#[derive(Debug, Clone)]
pub struct Usage {
    /// What its owner asks for.
    pub prices: &'static PriceList,
    /// The quotas that signatures count against.
    pub quotas: Vec<Quota>,
}

/// The public price list of a service, as it was read on a certain day.
#[derive(Debug)]
pub struct PriceList {
    /// The service.
    pub of: &'static str,
    /// The day, as `2026-11-21`.
    pub as_of: &'static str,
    /// Where it is published.
    pub source: &'static str,
    /// Whether a key costs as much as before while it waits to be deleted.
    pub bills_pending_deletion: bool,
    /// The price of one kind of key.
    pub price: fn(KeySpec) -> Price,
}

/// The price of one kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// A key, for a month.
    pub key_month: Money,
    /// Ten thousand of its signatures.
    pub ten_thousand_signatures: Money,
}

/// One quota, and how much of it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Of what, such as `signatures with RSA keys`.
    pub of: &'static str,
    /// What the backend keeps to, in calls per second.
    pub per_second: u32,
    /// Calls of the last minute.
    pub last_minute: u64,
    /// Ten thousand of them, at the highest price that such a call can have.
    pub ten_thousand: Money,
}

/// An amount of US dollars, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Money(pub u64);

impl Money {
    /// So many cents.
    #[must_use]
    pub const fn cents(cents: u64) -> Self {
        Self(cents * 10_000)
    }

    /// The amount in cents, rounded.
    #[must_use]
    pub const fn to_cents(self) -> u64 {
        (self.0 + 5_000) / 10_000
    }
}

impl Quota {
    /// What a month of 30 days costs at the rate of the last minute.
    #[must_use]
    pub const fn month(&self) -> Money {
        const MINUTES: u64 = 30 * 24 * 60;
        Money(self.last_minute.saturating_mul(MINUTES).saturating_mul(self.ten_thousand.0) / 10_000)
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        Self(amounts.map(|amount| amount.0).sum())
    }
}

impl fmt::Display for Money {
    /// `$1.05`, rounded to the cent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cents = self.to_cents();
        write!(f, "${}.{:02}", cents / 100, cents % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_told_to_the_cent() {
        for (micros, text) in
            [(0, "$0.00"), (4_999, "$0.00"), (5_000, "$0.01"), (2_500_000, "$2.50"), (1_049_999, "$1.05")]
        {
            assert_eq!(Money(micros).to_string(), text);
        }
        let quota = Quota { of: "x", per_second: 1_000, last_minute: 6_000, ten_thousand: Money::cents(15) };
        assert_eq!(quota.month().to_string(), "$3888.00", "a hundred a second, as the price list's own example");
        assert_eq!([Money::cents(6), Money::cents(100)].into_iter().sum::<Money>().to_string(), "$1.06");
    }
}
