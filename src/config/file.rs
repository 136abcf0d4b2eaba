//! The file as it is written: a mirror of the TOML, table by table.
//!
//! Every key may be absent here and every value carries its place, so that the checks can name the line
//! and go on to the next fault. What the keys mean is said in `config/example.toml`.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer};
use toml::Spanned;

use super::aws::{AliasPrefix, Region, TagText};
use super::gcp::{Endpoint, GcpCredentials, KeyRingName, Protection};
use super::one_or_many::{OneOrMany, Verifier};
use super::scalar::{
    AbsolutePath, Allow, BackendWord, ByteSize, Count, CredentialName, DnsName, FixedValue, JwksUrl, LogLevel, Mode,
    NumericId, PlainText, Rate, TokenHash, UnitName, VariableName,
};
use super::token::{Isolation, ModuleArgs, TokenTable};
use super::tree::{Address, AuditSignatures, ClientAuth, LogFormat, MinVersion, SelfVerify, StoreKind};
use super::url::IssuerUrl;
use super::value::{Field, Parsed, Section, Table, TableVisitor};
use crate::access::pattern::TextPattern;
use crate::access::spiffe::SpiffePattern;
use crate::ids::{BackendId, InstallationId, IssuerId, RingName};
use crate::jose::alg::{Algorithm, RsaBits};
use crate::jose::jws::Typ;
use crate::lifecycle::policy::Standby;
use crate::lifecycle::schedule::Schedule;
use crate::lifecycle::time::{Span, Timestamp};

/// Tables whose names are chosen by the operator.
pub(super) type Named<T> = BTreeMap<Spanned<String>, Spanned<T>>;

/// A struct of optional keys; anything else in the table is refused. `remote = "Self"` makes serde's reader a
/// plain function, which the hand-written one calls once it knows that there is a table.
macro_rules! table {
    ($(#[$doc:meta])* $name:ident, $expecting:literal { $($key:ident: $kind:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Default, serde::Deserialize)]
        #[serde(remote = "Self", default, deny_unknown_fields)]
        pub(super) struct $name {
            $(pub(super) $key: $kind,)+
        }

        impl<'de> Table<'de> for $name {
            const EXPECTED: &'static str = $expecting;

            fn keys<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $name::deserialize(deserializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(TableVisitor(PhantomData))
            }
        }
    };
}

table!(
    /// The top level.
    File, "the tables of a configuration" {
        installation: Field<InstallationId>,
        allow_software_keys: Field<bool>,
        data: Section<DataTable>,
        store: Section<StoreTable>,
        audit: Section<AuditTable>,
        runtime: Section<RuntimeTable>,
        listen: Section<ListenTable>,
        limits: Section<LimitsTable>,
        log: Section<LogTable>,
        backends: Named<BackendTable>,
        issuers: Named<IssuerTable>,
        trusted_issuers: Named<TrustedIssuerTable>,
        grants: Vec<Spanned<GrantTable>>,
    }
);
table!(DataTable, "a table [data] with the key dir" {
    dir: Field<AbsolutePath>,
});
table!(StoreTable, "a table [store] with the key kind" {
    kind: Field<StoreKind>,
});
table!(AuditTable, "a table [audit]" {
    dir: Field<AbsolutePath>,
    signatures: Field<AuditSignatures>,
    segment_size: Field<ByteSize>,
    segment_age: Field<Span>,
    checkpoints: Section<CheckpointsTable>,
});
table!(CheckpointsTable, "a table [audit.checkpoints]" {
    backend: Field<BackendId>,
    algorithm: Field<Algorithm>,
    every: Field<Span>,
});
table!(RuntimeTable, "a table [runtime] with the key workers" {
    workers: Field<Count>,
});
table!(ListenTable, "a table [listen] of listeners" {
    public: Section<ListenerTable>,
    signing: Section<ApiListenerTable>,
    admin: Section<ApiListenerTable>,
    metrics: Section<ListenerTable>,
});
table!(ListenerTable, "a table such as { address = \"127.0.0.1:8080\" }" {
    address: Field<Address>,
    mode: Field<Mode>,
    plain_http: Field<bool>,
    tls: Section<TlsTable>,
    max_connections: Field<Count>,
    request_timeout: Field<Span>,
});
table!(ApiListenerTable, "a table such as { address = \"unix:/run/jwksd/sign.sock\" }" {
    address: Field<Address>,
    mode: Field<Mode>,
    plain_http: Field<bool>,
    tls: Section<TlsTable>,
    max_connections: Field<Count>,
    request_timeout: Field<Span>,
    max_body: Field<ByteSize>,
    max_concurrency: Field<Count>,
});
table!(TlsTable, "a table such as { cert = \"/etc/jwksd/tls.pem\", key = \"/etc/jwksd/tls.key\" }" {
    cert: Field<AbsolutePath>,
    key: Field<AbsolutePath>,
    min_version: Field<MinVersion>,
    client_ca: Field<AbsolutePath>,
    client_auth: Field<ClientAuth>,
    client_crls: Option<OneOrMany<AbsolutePath>>,
});
table!(LimitsTable, "a table [limits]" {
    caller_rate: Field<Rate>,
    caller_concurrency: Field<Count>,
    ring_rate: Field<Rate>,
    ring_concurrency: Field<Count>,
});
table!(LogTable, "a table [log]" {
    format: Field<LogFormat>,
    level: Field<LogLevel>,
});
table!(BackendTable, "a table [backends.NAME]" {
    kind: Field<BackendWord>,
    sealing_key: Section<SecretTable>,
    passphrase: Section<SecretTable>,
    module: Field<AbsolutePath>,
    module_args: Field<ModuleArgs>,
    token: Option<Spanned<TokenTable>>,
    pin: Section<SecretTable>,
    isolation: Field<Isolation>,
    workers: Field<Count>,
    threads: Field<Count>,
    hang_limit: Field<Span>,
    region: Field<Region>,
    profile: Field<PlainText>,
    tagging_endpoint: Field<Endpoint>,
    create: Section<AwsCreateTable>,
    key_ring: Field<KeyRingName>,
    create_key_ring: Field<bool>,
    protection: Field<Protection>,
    deletion_window: Field<Span>,
    endpoint: Field<Endpoint>,
    credentials: Field<GcpCredentials>,
    sign_rate: Field<Rate>,
    write_rate: Field<Rate>,
    sign_deadline: Field<Span>,
    max_in_flight: Field<Count>,
});
table!(AwsCreateTable, "a table [backends.NAME.create]" {
    policy: Field<AbsolutePath>,
    description: Field<PlainText>,
    multi_region: Field<bool>,
    tags: Named<Parsed<TagText>>,
    alias_prefix: Field<AliasPrefix>,
});
table!(
    /// Where a secret is; never the secret.
    SecretTable, "a table that says where the secret is, such as \
                  { file = \"/etc/jwksd/sealing.key\" }, and never the secret itself" {
        file: Field<AbsolutePath>,
        credential: Field<CredentialName>,
        env: Field<VariableName>,
    }
);
table!(IssuerTable, "a table [issuers.NAME]" {
    url: Field<IssuerUrl>,
    jwks_max_age: Field<Span>,
    verifiers: Option<Spanned<Vec<Spanned<Verifier>>>>,
    skew: Field<Span>,
    openid_configuration: Field<bool>,
    known_to_verifiers: Field<bool>,
    max_keys: Field<Count>,
    max_bytes: Field<ByteSize>,
    publish: Section<PublishTable>,
    rings: Named<RingTable>,
});
table!(PublishTable, "a table [issuers.NAME.publish] with the key directory" {
    directory: Option<OneOrMany<AbsolutePath>>,
});
table!(RingTable, "a table [issuers.NAME.rings.RING]" {
    algorithm: Field<Algorithm>,
    rsa_bits: Field<RsaBits>,
    backend: Field<BackendId>,
    standby_backend: Field<BackendId>,
    active_period: Field<Span>,
    schedule: Field<Schedule>,
    blackouts: Vec<Spanned<BlackoutTable>>,
    propagation: Field<Span>,
    token_lifetime_max: Field<Span>,
    drain: Field<Span>,
    retention: Field<Span>,
    standby: Field<Standby>,
    self_verify: Field<SelfVerify>,
    typ: Field<Typ>,
    raw_signatures: Field<bool>,
    digests: Field<bool>,
});
table!(BlackoutTable, "a table { from = \"…\", to = \"…\" } or { opens = \"0 16 * * 5\", lasts = \"64h\" }" {
    from: Field<Timestamp>,
    to: Field<Timestamp>,
    opens: Field<Schedule>,
    lasts: Field<Span>,
});
table!(TrustedIssuerTable, "a table [trusted_issuers.NAME]" {
    url: Field<PlainText>,
    jwks_url: Field<JwksUrl>,
    jwks_file: Field<AbsolutePath>,
    ca: Field<AbsolutePath>,
    audience: Option<OneOrMany<PlainText>>,
    algorithms: Option<OneOrMany<Algorithm>>,
    refresh: Field<Span>,
    stale_for: Field<Span>,
});
table!(GrantTable, "a table under [[grants]]" {
    caller: Section<CallerTable>,
    allow: Option<Spanned<Vec<Spanned<Parsed<Allow>>>>>,
    issuer: Field<IssuerId>,
    ring: Field<RingName>,
    claims: Section<ClaimsTable>,
});
table!(ClaimsTable, "a table [grants.claims]" {
    aud: Option<OneOrMany<PlainText>>,
    sub: Option<OneOrMany<TextPattern>>,
    typ: Option<OneOrMany<Typ>>,
    max_ttl: Field<Span>,
    require: Option<OneOrMany<PlainText>>,
    forbid: Option<OneOrMany<PlainText>>,
    values: Named<Parsed<FixedValue>>,
    max_size: Field<ByteSize>,
});
table!(CallerTable, "a table such as { uid = 1001 }" {
    uid: Field<NumericId>,
    gid: Field<NumericId>,
    spiffe: Field<SpiffePattern>,
    dns: Field<DnsName>,
    unit: Field<UnitName>,
    issuer: Field<PlainText>,
    sub: Field<TextPattern>,
    token_sha256: Field<TokenHash>,
    loopback: Field<bool>,
});
