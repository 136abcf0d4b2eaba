//! What keys cost, and how much of a quota is used, as `jwksd plan` shows it.

use super::moment::moment;
use super::paint::{DOUBTFUL, TITLE, paint, tame};
use super::table::{Cell, Table, WIDTH, wrap};
use crate::lifecycle::time::Timestamp;
use crate::server::api::{Cost, QuotaUse};

/// What the keys cost in each backend that costs money; empty, if none does.
#[must_use]
pub fn costs(costs: &[Cost], now: Timestamp) -> String {
    costs.iter().map(|cost| format!("\n{}", one(cost, now))).collect()
}

fn one(cost: &Cost, now: Timestamp) -> String {
    let mut text = format!("{}, {}\n\n", paint(TITLE, tame(&cost.backend)), tame(&cost.service));
    let keys = match cost.keys {
        1 => "1 key".to_owned(),
        keys => format!("{keys} keys"),
    };
    let (from, day) = (tame(&cost.prices_from), tame(&cost.prices_as_of));
    let money = format!("{keys}: {} a month, by the prices of {day} ({from}).", dollars(cost.keys_month_cents));
    text.extend(wrap(&money, WIDTH - 2).into_iter().map(|line| format!("  {line}\n")));
    if !cost.pending_deletion.is_empty() {
        let mut table = Table::new(["PENDING DELETION", "UNTIL"]).indented(2);
        for key in &cost.pending_deletion {
            let name = tame(&format!("{}/{} v{}", key.issuer, key.ring, key.version));
            table.row([name.into(), Cell::from(moment(key.gone_at.0, now))]);
        }
        text.push_str(&format!("\n{}", table.render()));
    }
    if !cost.quotas.is_empty() {
        let mut table = Table::new(["QUOTA", "A SECOND", "LAST MINUTE", "AT THAT RATE"]).indented(2);
        for quota in &cost.quotas {
            let used = used(quota);
            let used = if is_near(quota) { Cell::styled(DOUBTFUL, &used) } else { used.into() };
            let month = format!("{} a month", dollars(quota.month_cents));
            table.row([tame(&quota.of).into(), quota.per_second.to_string().into(), used, month.into()]);
        }
        text.push_str(&format!("\n{}", table.render()));
    }
    text
}

/// `12.5 a second, 1 %`.
fn used(quota: &QuotaUse) -> String {
    let tenths = quota.last_minute.saturating_add(3) / 6;
    let percent = quota.last_minute.saturating_mul(100) / (60 * u64::from(quota.per_second.max(1)));
    format!("{}.{} a second, {percent} %", tenths / 10, tenths % 10)
}

/// Whether a burst may meet the quota: half of it is used on average.
fn is_near(quota: &QuotaUse) -> bool {
    quota.last_minute >= 30 * u64::from(quota.per_second)
}

fn dollars(cents: u64) -> String {
    format!("${}.{:02}", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::api::{Moment, PendingDeletion};

    #[test]
    fn a_backend_that_costs_money_says_how_much_and_how_near_its_quota_is() {
        let now = Timestamp::from_second(1_800_000_000);
        let gone_at = Moment(Timestamp::from_second(1_800_000_000 + 86_400 * 30));
        let pending = PendingDeletion { gone_at, issuer: "main".into(), ring: "es256".into(), version: 7 };
        let quota = |of: &str, last_minute| QuotaUse { of: of.into(), per_second: 1_000, last_minute, month_cents: 5 };
        let cost = Cost {
            backend: "kms".into(),
            service: "AWS KMS".into(),
            prices_as_of: "2026-11-21".into(),
            prices_from: "https://aws.amazon.com/kms/pricing/".into(),
            keys: 2,
            pending_deletion: vec![pending],
            keys_month_cents: 200,
            quotas: vec![quota("signatures with RSA keys", 0), quota("signatures with EC keys", 30_075)],
        };
        let text = anstream::adapter::strip_str(&costs(&[cost], now)).to_string();
        for line in [
            "\nkms, AWS KMS\n",
            "2 keys: $2.00 a month, by the prices of 2026-11-21",
            "main/es256 v7",
            "0.0 a second, 0 %",
            "501.3 a second, 50 %",
            "$0.05 a month",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert_eq!(costs(&[], now), "");
    }
}
