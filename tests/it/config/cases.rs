//! A good configuration, and the ways in which each case spoils it.

/// A good configuration; each case below spoils it at one or two places.
pub const GOOD: &str = r#"installation = "prod-eu"
allow_software_keys = true

[data]
dir = "/var/lib/jwksd"

[listen]
public = { address = "127.0.0.1:8080" }
signing = { address = "unix:/run/jwksd/sign.sock" }
admin = { address = "unix:/run/jwksd/admin.sock" }

[backends.soft]
kind = "software"
sealing_key = { file = "/etc/jwksd/sealing.key" }

[issuers.main]
url = "https://id.example.com"

[issuers.main.rings.es256]
algorithm = "ES256"
backend = "soft"

[[grants]]
caller = { uid = 1001 }
allow = ["sign"]

[[grants]]
caller = { gid = 1002 }
allow = ["admin"]
"#;

/// What to look for in [`GOOD`], and what to put there instead.
pub type Edit = (&'static str, &'static str);

pub const INSTALLATION: &str = "installation = \"prod-eu\"\n";
pub const PUBLIC: &str = "{ address = \"127.0.0.1:8080\" }";
pub const SIGNING: &str = "{ address = \"unix:/run/jwksd/sign.sock\" }";
pub const SEALING: &str = "sealing_key = { file = \"/etc/jwksd/sealing.key\" }";
pub const TOKEN: &str = "kind = \"pkcs11\"\nmodule = \"/m.so\"\ntoken = \"jwksd\"\npin = { file = \"/etc/jwksd/pin\" }";
pub const KEY_RING: &str = "kind = \"gcp-kms\"\nkey_ring = \"projects/p/locations/l/keyRings/r\"";
pub const URL: &str = "url = \"https://id.example.com\"";
pub const RING: &str = "backend = \"soft\"\n";
pub const CALLER: &str = "{ uid = 1001 }";
pub const ALLOW: &str = "allow = [\"sign\"]";

#[rustfmt::skip]
pub const BROKEN: &[(&str, &[Edit])] = &[
    // Not TOML.
    ("text without quotes", &[("\"prod-eu\"", "prod-eu")]),
    ("the same key twice", &[(INSTALLATION, "installation = \"a\"\ninstallation = \"b\"\n")]),
    ("a table that is not closed", &[("[data]", "[data")]),
    ("two syntax errors", &[("\"prod-eu\"", "prod-eu"), ("kind = \"software\"", "kind = ")]),
    // Unknown and misplaced keys.
    ("misspelt key", &[("installation", "instalation")]),
    ("misspelt table", &[("[data]", "[date]")]),
    ("misspelt issuers", &[("[issuers.main]", "[issuer.main]"), ("[issuers.main.rings.es256]", "[issuer.main.rings.es256]")]),
    ("unknown key without a likeness", &[("[data]", "colour = 1\n[data]")]),
    ("half of a key", &[(RING, "backend = \"soft\"\nperiod = \"30d\"\n")]),
    ("issuer key in a ring", &[(RING, "backend = \"soft\"\nskew = \"1m\"\n")]),
    ("ring key in an issuer", &[(URL, "url = \"https://id.example.com\"\nretention = \"2h\"")]),
    ("top-level key below a table", &[("allow_software_keys = true\n", ""), ("dir = ", "allow_software_keys = true\ndir = ")]),
    ("TLS with relative paths", &[(PUBLIC, "{ address = \"0.0.0.0:8443\", tls = { cert = \"c\", key = \"k\" } }")]),
    ("token without a place", &[("kind = \"software\"", "kind = \"pkcs11\""), (SEALING, "")]),
    ("token with a sealing key", &[("kind = \"software\"", TOKEN)]),
    ("software with a token", &[(SEALING, "sealing_key = { file = \"/etc/jwksd/sealing.key\" }\ntoken = \"jwksd\"\nworkers = 2")]),
    ("token of two names", &[("kind = \"software\"", "kind = \"pkcs11\"\nmodule = \"/m.so\"\npin = { env = \"PIN\" }\ntoken = { serial = \"4f2a\", slot = 0 }"), (SEALING, "")]),
    ("token of no name", &[("kind = \"software\"", "kind = \"pkcs11\"\nmodule = \"/m.so\"\npin = { env = \"PIN\" }\ntoken = { }"), (SEALING, "")]),
    ("token of another name", &[("kind = \"software\"", "kind = \"pkcs11\"\nmodule = \"/m.so\"\npin = { env = \"PIN\" }\ntoken = { label = \"jwksd\" }"), (SEALING, "")]),
    ("token by number", &[("kind = \"software\"", "kind = \"pkcs11\"\nmodule = \"/m.so\"\npin = { env = \"PIN\" }\ntoken = 7"), (SEALING, "")]),
    ("token with a long label", &[("kind = \"software\"", "kind = \"pkcs11\"\nmodule = \"/m.so\"\npin = { env = \"PIN\" }\ntoken = \"a label of more than thirty-two bytes\""), (SEALING, "")]),
    ("PIN in place of its source", &[("kind = \"software\"", "kind = \"pkcs11\"\nmodule = \"/m.so\"\npin = \"hunter2\"\ntoken = \"jwksd\""), (SEALING, "")]),
    ("AWS KMS with keys of others", &[("kind = \"software\"", "kind = \"aws-kms\"\npin = { env = \"PIN\" }")]),
    ("AWS KMS with values that are none", &[("kind = \"software\"", "kind = \"aws-kms\"\nregion = \"Ireland\"\nendpoint = \"http://kms.example.com\"\nsign_rate = 0\ndeletion_window = \"36h\"\ncreate = { policy = \"p.json\", alias_prefix = \"aws/x\", multi_region = \"no\", tags = { a = \"*\" } }"), (SEALING, "")]),
    ("AWS KMS deleting at the wrong time", &[("kind = \"software\"", "kind = \"aws-kms\"\ndeletion_window = \"31d\"\ncreate = { tags = { \"jwksd:ring\" = \"x\", \"\" = \"y\" } }"), (SEALING, "")]),
    ("software with a region", &[(SEALING, "sealing_key = { file = \"/etc/jwksd/sealing.key\" }\nregion = \"eu-west-1\"")]),
    ("module by a relative path", &[("kind = \"software\"", "kind = \"pkcs11\"\nmodule = \"m.so\"\npin = { env = \"PIN\" }\ntoken = \"jwksd\""), (SEALING, "")]),
    ("workers without processes", &[("kind = \"software\"", TOKEN), (SEALING, "isolation = \"none\"\nworkers = 2")]),
    ("isolation of no kind", &[("kind = \"software\"", TOKEN), (SEALING, "isolation = \"thread\"")]),
    ("more threads than help", &[("kind = \"software\"", TOKEN), (SEALING, "threads = 500\nhang_limit = \"0s\"")]),
    ("key ring without a name", &[("kind = \"software\"", "kind = \"gcp-kms\""), (SEALING, "")]),
    ("key ring by half its name", &[("kind = \"software\"", "kind = \"gcp-kms\"\nkey_ring = \"jwksd\""), (SEALING, "")]),
    ("key ring with a token", &[("kind = \"software\"", KEY_RING), (SEALING, "token = \"jwksd\"")]),
    ("token with a key ring", &[("kind = \"software\"", TOKEN), (SEALING, "key_ring = \"r\"\nprotection = \"hsm\"")]),
    ("nobody at Google's door", &[("kind = \"software\"", KEY_RING), (SEALING, "credentials = \"anonymous\"")]),
    ("credentials over plain http", &[("kind = \"software\"", KEY_RING), (SEALING, "endpoint = \"http://10.0.0.1\"")]),
    ("restorable for too short a time", &[("kind = \"software\"", KEY_RING), (SEALING, "deletion_window = \"1h\"")]),
    ("more calls than Google takes", &[("kind = \"software\"", KEY_RING), (SEALING, "sign_rate = 4294967296\nwrite_rate = 9223372036854775807")]),
    ("more calls than AWS takes", &[("kind = \"software\"", "kind = \"aws-kms\"\nsign_rate = 4294967296"), (SEALING, "")]),
    ("no such level", &[("kind = \"software\"", KEY_RING), (SEALING, "protection = \"HSM\"")]),
    ("no such keys at Google", &[("kind = \"software\"", KEY_RING), (SEALING, ""), ("\"ES256\"", "\"ES512\"")]),
    ("no such checkpoints at Google", &[("kind = \"software\"", KEY_RING), (SEALING, ""), ("[data]", "[audit.checkpoints]\nbackend = \"soft\"\nalgorithm = \"PS384\"\n[data]")]),
    ("token above its table", &[("[data]", "token = \"jwksd\"\n[data]")]),
    // Values of the wrong kind.
    ("number for a text", &[("\"prod-eu\"", "7")]),
    ("number for a duration", &[(RING, "backend = \"soft\"\ndrain = 600\n")]),
    ("number for a size", &[(SIGNING, "{ address = \"unix:/run/jwksd/sign.sock\", max_body = 65536 }")]),
    ("text for a number", &[(URL, "url = \"https://id.example.com\"\nmax_keys = \"6\"")]),
    ("text for a switch", &[("allow_software_keys = true", "allow_software_keys = \"true\"")]),
    ("text for a table", &[("[data]\ndir = \"/var/lib/jwksd\"", "data = \"/var/lib/jwksd\"")]),
    ("text for a listener", &[(PUBLIC, "\"127.0.0.1:8080\"")]),
    ("table for a list", &[("\n[[grants]]\ncaller = { gid = 1002 }\nallow = [\"admin\"]\n", ""), ("[[grants]]", "[grants]")]),
    ("list for a table", &[("[data]", "[[data]]")]),
    ("list for a listener", &[(PUBLIC, "[\"127.0.0.1:8080\"]")]),
    ("date for a table", &[("[data]\ndir = \"/var/lib/jwksd\"", "data = 2026-01-01")]),
    ("number for tables", &[("[backends.soft]\nkind = \"software\"\nsealing_key = { file = \"/etc/jwksd/sealing.key\" }\n", ""), ("[data]", "backends = 5\n[data]")]),
    ("text for a list", &[(ALLOW, "allow = \"sign\"")]),
    ("date without quotes", &[(RING, "backend = \"soft\"\nblackouts = [{ from = 2026-12-20T00:00:00Z, to = \"2027-01-02T00:00:00Z\" }]\n")]),
    ("secret in place of its source", &[(SEALING, "sealing_key = \"hunter2\"")]),
    // Single values.
    ("installation that is no name", &[("prod-eu", "Prod_EU")]),
    ("relative data directory", &[("/var/lib/jwksd", "./data")]),
    ("store of a later release", &[("[listen]", "[store]\nkind = \"postgres\"\n[listen]")]),
    ("checkpoints without a key", &[("[listen]", "[audit.checkpoints]\nalgoritm = \"ES256\"\nevery = \"0s\"\n[listen]")]),
    ("checkpoints by nobody", &[("[listen]", "[audit]\nsegment_age = \"0s\"\ncheckpoints = { backend = \"sofd\", algorithm = \"HS256\" }\n[listen]")]),
    ("issuer with our name", &[("[issuers.main]", "[issuers.jwksd]"), ("[issuers.main.rings.es256]", "[issuers.jwksd.rings.es256]")]),
    ("audit settings", &[("[listen]", "[audit]\nsignatures = \"sync\"\nsegment_size = \"16M\"\n[listen]")]),
    ("more requests than there are", &[("[listen]", "[limits]\ncaller_rate = 4294967296\nring_rate = 18446744073709551616\n[listen]")]),
    ("no workers", &[("[listen]", "[runtime]\nworkers = 0\n[listen]")]),
    ("log settings", &[("[listen]", "[log]\nformat = \"xml\"\nlevel = \"verbose\"\n[listen]")]),
    ("log directive", &[("[listen]", "[log]\nlevel = \"jwksd=loud\"\n[listen]")]),
    ("duration without a unit", &[(RING, "backend = \"soft\"\ndrain = \"600\"\n")]),
    ("duration that is too long", &[(RING, "backend = \"soft\"\nactive_period = \"101y\"\nretention = \"40000d\"\n")]),
    ("cron expression of six fields", &[(RING, "backend = \"soft\"\nschedule = \"0 0 3 1 * *\"\n")]),
    ("cron expression that never comes", &[(RING, "backend = \"soft\"\nschedule = \"0 0 30 2 *\"\n")]),
    ("algorithm in lower case", &[("\"ES256\"", "\"es256\"")]),
    ("algorithm none", &[("\"ES256\"", "\"none\"")]),
    ("modulus for an elliptic curve", &[("\"ES256\"", "\"ES256\"\nrsa_bits = 2048")]),
    ("odd modulus", &[("\"ES256\"", "\"RS256\"\nrsa_bits = 1024")]),
    ("type that is no media type", &[(RING, "backend = \"soft\"\ntyp = \"a b\"\n")]),
    ("standby and self_verify", &[(RING, "backend = \"soft\"\nstandby = \"never\"\nself_verify = \"off\"\n")]),
    // Absent keys.
    ("no installation", &[(INSTALLATION, "")]),
    ("nothing at all", &[(GOOD, "")]),
    ("no data directory", &[("dir = \"/var/lib/jwksd\"\n", "")]),
    ("no signing listener", &[("signing = { address = \"unix:/run/jwksd/sign.sock\" }\n", "")]),
    ("listener without an address", &[(PUBLIC, "{ max_connections = 5 }")]),
    ("backend without a kind", &[("kind = \"software\"\n", "")]),
    ("backend without a seal", &[(SEALING, "")]),
    ("issuer without a URL", &[(URL, "")]),
    ("issuer without a ring", &[("[issuers.main.rings.es256]\nalgorithm = \"ES256\"\nbackend = \"soft\"\n", "")]),
    ("ring without anything", &[("algorithm = \"ES256\"\nbackend = \"soft\"\n", "")]),
    ("grant without anything", &[("caller = { uid = 1001 }\nallow = [\"sign\"]\n", "")]),
    // Listeners.
    ("plain HTTP for everybody", &[(PUBLIC, "{ address = \"0.0.0.0:8443\" }")]),
    ("plain HTTP denied", &[(PUBLIC, "{ address = \"[::]:8443\", plain_http = false }")]),
    ("TLS without its files", &[(PUBLIC, "{ address = \"0.0.0.0:8443\", tls = {} }")]),
    ("TLS and plain HTTP", &[(PUBLIC, "{ address = \"0.0.0.0:8443\", tls = { cert = \"/c\", key = \"/k\" }, plain_http = true }")]),
    ("TLS over a Unix socket", &[(SIGNING, "{ address = \"unix:/run/jwksd/sign.sock\", tls = { cert = \"/c\", key = \"/k\" } }")]),
    ("TLS of last century", &[(PUBLIC, "{ address = \"0.0.0.0:8443\", tls = { cert = \"/c\", key = \"/k\", min_version = \"1.0\" } }")]),
    ("client certificates of nobody", &[(PUBLIC, "{ address = \"0.0.0.0:8443\", tls = { cert = \"/c\", key = \"/k\", client_auth = \"optional\" } }")]),
    ("revocations of nobody", &[(PUBLIC, "{ address = \"0.0.0.0:8443\", tls = { cert = \"/c\", key = \"/k\", client_crls = [\"/r\"] } }")]),
    ("host name for an address", &[(PUBLIC, "{ address = \"localhost:8080\" }")]),
    ("relative socket", &[(SIGNING, "{ address = \"unix:sign.sock\" }")]),
    ("socket with two slashes", &[(SIGNING, "{ address = \"unix:///run/jwksd/sign.sock\" }")]),
    ("long socket", &[("/run/jwksd/sign.sock", "/run/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/s")]),
    ("mode of a TCP listener", &[(PUBLIC, "{ address = \"127.0.0.1:8080\", mode = \"0660\" }")]),
    ("mode that is none", &[(SIGNING, "{ address = \"unix:/run/jwksd/sign.sock\", mode = \"660\" }")]),
    ("one address for two", &[(PUBLIC, "{ address = \"0.0.0.0:8080\", plain_http = true }"), (SIGNING, "{ address = \"127.0.0.1:8080\" }")]),
    ("request time-out shorter than a signature", &[(SIGNING, "{ address = \"unix:/run/jwksd/sign.sock\", request_timeout = \"10s\" }")]),
    ("signature longer than the default time-out", &[("kind = \"software\"", "kind = \"software\"\nsign_deadline = \"45s\"")]),
    ("no time for a request", &[(PUBLIC, "{ address = \"127.0.0.1:8080\", request_timeout = \"0s\" }")]),
    // Backends and secrets.
    ("software keys without consent", &[("allow_software_keys = true", "")]),
    ("two seals", &[(SEALING, "sealing_key = { file = \"/a\" }\npassphrase = { env = \"P\" }")]),
    ("secret from nowhere", &[(SEALING, "sealing_key = { }")]),
    ("secret from two places", &[(SEALING, "sealing_key = { file = \"/a\", env = \"P\" }")]),
    ("secret of an unknown kind", &[(SEALING, "sealing_key = { value = \"hunter2\" }")]),
    ("secret in place of a variable", &[(SEALING, "passphrase = { env = \"hunter2!\" }")]),
    ("secret in place of a credential", &[(SEALING, "passphrase = { credential = \"hunter2 hunter2\" }")]),
    ("backend that is no name", &[("[backends.soft]", "[backends.Soft]")]),
    // Issuers.
    ("issuer that is no name", &[("[issuers.main]", "[issuers.\"main.eu\"]"), ("[issuers.main.rings.es256]", "[issuers.\"main.eu\".rings.es256]")]),
    ("ring that is no name", &[("rings.es256]", "rings.ES256]")]),
    ("issuer over plain http", &[(URL, "url = \"http://id.example.com\"")]),
    ("issuer with a trailing slash", &[(URL, "url = \"https://id.example.com/\"")]),
    ("issuer with a query", &[(URL, "url = \"https://id.example.com/?a=1\"")]),
    ("issuer with a password", &[(URL, "url = \"https://me:hunter2@id.example.com\"")]),
    ("issuer in capitals", &[(URL, "url = \"https://ID.example.com\"")]),
    ("issuer with a port out of range", &[(URL, "url = \"https://id.example.com:84430\"")]),
    ("issuer with percent signs", &[(URL, "url = \"https://id.example.com/a%20b\"")]),
    ("issuer with the path of its documents", &[(URL, "url = \"https://id.example.com/.well-known/jwks.json\"")]),
    ("two issuers without a path", &[("[[grants]]", "[issuers.two]\nurl = \"https://two.example.com\"\nrings.a = { algorithm = \"ES256\", backend = \"soft\" }\n[[grants]]")]),
    ("two issuers with one path", &[(URL, "url = \"https://id.example.com/a\""), ("[[grants]]", "[issuers.two]\nurl = \"https://two.example.com/a\"\nrings.a = { algorithm = \"ES256\", backend = \"soft\" }\n[[grants]]")]),
    ("misspelt verifier", &[(URL, "url = \"https://id.example.com\"\nverifiers = [\"envoi\"]")]),
    ("unheard-of verifier", &[(URL, "url = \"https://id.example.com\"\nverifiers = [\"frobnicator\"]")]),
    ("verifier without a cache", &[(URL, "url = \"https://id.example.com\"\nverifiers = [{ name = \"in-house\" }]")]),
    ("verifier with a misspelt key", &[(URL, "url = \"https://id.example.com\"\nverifiers = [\"envoy\", { name = \"in-house\", cash = \"2h\" }]")]),
    ("verifier that is a number", &[(URL, "url = \"https://id.example.com\"\nverifiers = [5, \"envoy\"]")]),
    ("verifier that is a date", &[(URL, "url = \"https://id.example.com\"\nverifiers = [2026-01-01]")]),
    ("verifier declared twice", &[(URL, "url = \"https://id.example.com\"\nverifiers = [\"envoy\", { name = \"envoy\", cache = \"1h\" }]")]),
    ("verifiers that are a text", &[(URL, "url = \"https://id.example.com\"\nverifiers = \"envoy\"")]),
    ("no max-age", &[(URL, "url = \"https://id.example.com\"\njwks_max_age = \"0s\"")]),
    ("limit beyond what verifiers read", &[(URL, "url = \"https://id.example.com\"\nmax_bytes = \"1MiB\"")]),
    ("publisher without a directory", &[("[issuers.main.rings.es256]", "[issuers.main.publish]\n[issuers.main.rings.es256]")]),
    ("publisher with odd directories", &[("[issuers.main.rings.es256]", "[issuers.main.publish]\ndirectory = [\"/srv/www\", \"www\", \"/srv/www\", 5]\n[issuers.main.rings.es256]")]),
    ("publisher with a number", &[("[issuers.main.rings.es256]", "[issuers.main.publish]\ndirectory = 5\n[issuers.main.rings.es256]")]),
    ("set that nobody reads", &[(RING, "backend = \"soft\"\nactive_period = \"27h\"\nretention = \"500d\"\n")]),
    // Rings.
    ("unknown backend", &[("backend = \"soft\"", "backend = \"sofd\"")]),
    ("digests in a ring with rules on tokens", &[(RING, "backend = \"soft\"\ndigests = true\ntyp = \"at+jwt\"\nraw_signatures = true\n")]),
    ("digests of Ed25519", &[("\"ES256\"", "\"Ed25519\""), (RING, "backend = \"soft\"\ndigests = true\n")]),
    ("digests beside tokens", &[(RING, "backend = \"soft\"\ndigests = true\n\n[issuers.main.rings.rs256]\nalgorithm = \"RS256\"\nbackend = \"soft\"\n")]),
    ("digests granted with more", &[(RING, "backend = \"soft\"\ndigests = true\n"), (ALLOW, "allow = [\"sign\", \"sign_digest\"]\nissuer = \"main\"\nring = \"es256\"")]),
    ("digests granted everywhere", &[(RING, "backend = \"soft\"\ndigests = true\n"), (ALLOW, "allow = [\"sign_digest\"]\nissuer = \"main\"")]),
    ("digests granted where there are none", &[(ALLOW, "allow = [\"sign_digest\"]\nissuer = \"main\"\nring = \"es256\"")]),
    ("rules on digests", &[(RING, "backend = \"soft\"\ndigests = true\n"), (ALLOW, "allow = [\"sign_digest\"]\nissuer = \"main\"\nring = \"es256\"\nclaims = { max_size = \"1KiB\" }")]),
    ("unknown backends", &[("backend = \"soft\"", "backend = \"hsm-a\"\nstandby_backend = \"hsm-b\"")]),
    ("standby in the same backend", &[(RING, "backend = \"soft\"\nstandby_backend = \"soft\"\n")]),
    ("period and schedule", &[(RING, "backend = \"soft\"\nactive_period = \"30d\"\nschedule = \"0 3 1 * *\"\n")]),
    ("retention too short", &[(RING, "backend = \"soft\"\nretention = \"1h\"\n")]),
    ("drain too short", &[(RING, "backend = \"soft\"\ndrain = \"5s\"\n")]),
    ("propagation shorter than a cache", &[(URL, "url = \"https://id.example.com\"\nverifiers = [\"microsoft-owin\"]"), (RING, "backend = \"soft\"\npropagation = \"10m\"\n")]),
    ("default propagation shorter than max-age", &[(URL, "url = \"https://id.example.com\"\njwks_max_age = \"2d\"")]),
    ("period shorter than propagation", &[(RING, "backend = \"soft\"\nactive_period = \"1d\"\n")]),
    ("schedule faster than propagation", &[(RING, "backend = \"soft\"\nschedule = \"0 3 * * *\"\n")]),
    ("every duration at once", &[(RING, "backend = \"soft\"\npropagation = \"5m\"\ndrain = \"1s\"\nretention = \"1m\"\nactive_period = \"5m\"\n")]),
    ("tokens without a life", &[(RING, "backend = \"soft\"\ntoken_lifetime_max = \"0s\"\n")]),
    ("blackout that ends before it begins", &[(RING, "backend = \"soft\"\nblackouts = [{ from = \"2027-01-02T00:00:00Z\", to = \"2026-12-20T00:00:00Z\" }]\n")]),
    ("half a blackout", &[(RING, "backend = \"soft\"\nblackouts = [{ from = \"2027-01-02T00:00:00Z\" }, { opens = \"0 0 * * *\", to = \"2026-12-20T00:00:00Z\" }]\n")]),
    ("blackout that outlasts its return", &[(RING, "backend = \"soft\"\nblackouts = [{ opens = \"0 16 * * 5\", lasts = \"8d\" }]\n")]),
    ("blackouts without a gap", &[(RING, "backend = \"soft\"\nblackouts = [{ opens = \"0 0 * * *\", lasts = \"12h\" }, { opens = \"0 12 * * *\", lasts = \"12h\" }]\n")]),
    ("blackout that is a day", &[(RING, "backend = \"soft\"\nblackouts = [{ from = \"2026-12-20\", to = \"new year\" }]\n")]),
    // Grants.
    ("caller of two kinds", &[(CALLER, "{ uid = 1001, gid = 1002 }")]),
    ("caller of no kind", &[(CALLER, "{ }")]),
    ("caller by name", &[(CALLER, "{ uid = \"idp\" }")]),
    ("caller that is no id", &[(CALLER, "{ uid = -1 }")]),
    ("caller by a pattern that is none", &[(CALLER, "{ spiffe = \"spiffe://example.org/idp*\" }")]),
    ("caller by half a unit", &[(CALLER, "{ unit = \"idp\" }")]),
    ("caller of an unknown issuer", &[(CALLER, "{ issuer = \"k8s\", sub = \"a\" }")]),
    ("caller of an issuer, whoever it is", &[(CALLER, "{ issuer = \"k8s\" }"), ("[issuers.main]", TRUSTED)]),
    ("subject of nobody", &[(CALLER, "{ sub = \"a\" }")]),
    ("subject with a star in the middle", &[(CALLER, "{ issuer = \"k8s\", sub = \"a*b\" }"), ("[issuers.main]", TRUSTED)]),
    ("trusted issuer without anything", &[("[issuers.main]", "[trusted_issuers.k8s]\n[issuers.main]")]),
    ("trusted issuer over plain HTTP", &[("[issuers.main]", "[trusted_issuers.k8s]\nurl = \"https://k\"\naudience = \"a\"\njwks_url = \"http://k/jwks\"\n[issuers.main]")]),
    ("trusted issuer of two kinds", &[("[issuers.main]", "[trusted_issuers.k8s]\nurl = \"https://k\"\naudience = \"a\"\njwks_file = \"/j\"\njwks_url = \"https://k/jwks\"\n[issuers.main]")]),
    ("trusted issuer twice", &[("[issuers.main]", "[trusted_issuers.a]\nurl = \"https://k\"\naudience = \"a\"\njwks_file = \"/j\"\n[trusted_issuers.b]\nurl = \"https://k\"\naudience = \"a\"\njwks_file = \"/j\"\nca = \"/c\"\n[issuers.main]")]),
    ("caller by a DNS wildcard", &[(CALLER, "{ dns = \"*.example.com\" }")]),
    ("token in place of its hash", &[(CALLER, "{ token_sha256 = \"hunter2\" }")]),
    ("caller who may not", &[(CALLER, "{ loopback = false }")]),
    ("rules without signing", &[(ALLOW, "allow = [\"read\"]\nclaims = { aud = \"a\" }")]),
    ("rules at odds", &[(ALLOW, "allow = [\"sign\"]\nclaims = { aud = \"a\", require = \"x\", forbid = [\"x\", \"exp\", \"aud\"], values = { iss = \"i\", sub = \"s\" }, max_ttl = \"0s\" }")]),
    ("rules that list nothing", &[(ALLOW, "allow = [\"sign\"]\nclaims = { aud = [], sub = [], typ = [], require = [] }")]),
    ("rule that nobody knows", &[(ALLOW, "allow = [\"sign\"]\nclaims = { audience = \"a\", values = { x = 1.5 } }")]),
    ("unknown operation", &[(ALLOW, "allow = [\"sing\", \"destroy\"]")]),
    ("nothing allowed", &[(ALLOW, "allow = []")]),
    ("unknown issuer in a grant", &[(ALLOW, "allow = [\"sign\"]\nissuer = \"mian\"")]),
    ("unknown ring in a grant", &[(ALLOW, "allow = [\"sign\"]\nissuer = \"main\"\nring = \"rs256\"")]),
    ("ring without its issuer", &[(ALLOW, "allow = [\"sign\"]\nring = \"es256\"")]),
    // All at once, in the order of the lines.
    ("faults everywhere", &[("prod-eu", "Prod"), ("\"software\"", "\"hsm\""), ("backend = \"soft\"", "backend = \"hard\"\nretention = 5\ndrian = \"1s\""), ("uid = 1001", "uid = 1001, x = 1"), ("\"sign\"", "\"sign\", 5")]),
];

#[rustfmt::skip]
pub const DOUBTFUL: &[(&str, &[Edit])] = &[
    ("more keys than verifiers like", &[(RING, "backend = \"soft\"\nactive_period = \"2d\"\nretention = \"10d\"\n")]),
    ("more bytes than verifiers like", &[("\"ES256\"", "\"RS256\"\nrsa_bits = 4096"), (URL, "url = \"https://id.example.com\"\nmax_bytes = \"2KiB\"")]),
    ("backend without a ring", &[("[issuers.main]", "[backends.spare]\nkind = \"software\"\npassphrase = { env = \"P\" }\n[issuers.main]")]),
    ("a hang noticed too late", &[("kind = \"software\"", TOKEN), (SEALING, "sign_deadline = \"1s\"\nhang_limit = \"1s\"")]),
    ("discovery without RS256", &[(URL, "url = \"https://id.example.com\"\nopenid_configuration = true")]),
    ("user ids without a socket", &[(SIGNING, "{ address = \"127.0.0.1:8081\" }"), ("{ address = \"unix:/run/jwksd/admin.sock\" }", "{ address = \"127.0.0.1:8082\" }")]),
    ("nobody may sign", &[("[\"sign\"]", "[\"read\"]")]),
    ("nobody may act", &[("[\"admin\"]", "[\"read\"]")]),
    ("certificates without an authority", &[(CALLER, "{ spiffe = \"spiffe://example.org/idp/*\" }")]),
    ("loopback without TCP", &[(CALLER, "{ loopback = true }")]),
];

/// A trusted issuer, and the table that follows it.
const TRUSTED: &str =
    "[trusted_issuers.k8s]\nurl = \"https://k\"\naudience = \"a\"\njwks_file = \"/j\"\n[issuers.main]";
