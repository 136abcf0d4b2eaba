//! The public price lists of the clouds. Nothing is decided by them: they let an operator see what a plan costs.

use crate::backend::usage::{Money, Price, PriceList};
use crate::jose::alg::{KeySpec, RsaBits};

/// AWS KMS, in most regions.
pub static AWS: PriceList = PriceList {
    of: "AWS KMS",
    as_of: "2026-11-21",
    source: "https://aws.amazon.com/kms/pricing/",
    bills_pending_deletion: false,
    price: |spec| Price { key_month: Money::cents(100), ten_thousand_signatures: hardware_signatures(spec) },
};

/// Google Cloud KMS, protection level SOFTWARE.
pub static GCP_SOFTWARE: PriceList = PriceList {
    of: "Google Cloud KMS (software)",
    as_of: "2025-03-01",
    source: "https://cloud.google.com/kms/pricing",
    bills_pending_deletion: true,
    price: |_| Price { key_month: Money::cents(6), ten_thousand_signatures: Money::cents(3) },
};

/// Google Cloud KMS, protection level HSM, for the first 2,000 keys.
pub static GCP_HSM: PriceList = PriceList {
    of: "Google Cloud KMS (HSM)",
    as_of: "2025-03-01",
    source: "https://cloud.google.com/kms/pricing",
    bills_pending_deletion: true,
    price: |spec| {
        let key_month = if is_rsa_2048(spec) { Money::cents(100) } else { Money::cents(250) };
        Price { key_month, ten_thousand_signatures: hardware_signatures(spec) }
    },
};

fn hardware_signatures(spec: KeySpec) -> Money {
    if is_rsa_2048(spec) { Money::cents(3) } else { Money::cents(15) }
}

fn is_rsa_2048(spec: KeySpec) -> bool {
    spec.rsa_bits() == Some(RsaBits::B2048)
}
