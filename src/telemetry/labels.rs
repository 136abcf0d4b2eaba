//! The labels of metrics: names from the configuration and fixed words, so their number is bounded.

use prometheus_client::encoding::EncodeLabelSet;

use crate::ids::{IssuerId, RingName};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct BuildLabels {
    pub(super) version: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ActionLabels {
    pub(super) action: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OutcomeLabels {
    pub(super) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CodeLabels {
    pub(super) code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct IssuerLabels {
    pub(super) issuer: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StatusLabels {
    pub(super) issuer: String,
    pub(super) status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RingLabels {
    pub(super) issuer: String,
    pub(super) ring: String,
}

impl RingLabels {
    pub(super) fn new(issuer: &IssuerId, ring: &RingName) -> Self {
        Self { issuer: issuer.to_string(), ring: ring.to_string() }
    }

    pub(super) fn with(&self, outcome: &'static str) -> SignLabels {
        SignLabels { issuer: self.issuer.clone(), ring: self.ring.clone(), outcome }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct SignLabels {
    pub(super) issuer: String,
    pub(super) ring: String,
    pub(super) outcome: &'static str,
}
