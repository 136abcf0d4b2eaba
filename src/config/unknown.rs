//! What to say about a key that nobody knows: the nearest known one, or the table it belongs in.

use super::nearest::nearest;

/// The problem, and the key that was probably meant.
///
/// `what`: "key" or "table". `known`: the known keys as serde lists them, each between backticks. `table`: the
/// dotted key of the table around it.
pub(super) fn unknown_key(what: &str, key: &str, known: &str, table: &str) -> (String, Option<String>) {
    // Serde repeats the unknown key first.
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).skip(1).collect();
    if let Some((_, home)) = HOMES.iter().find(|(word, home)| *word == key && !is_home(home, table)) {
        return (format!("unknown {what} here; {key} belongs {home}"), None);
    }
    match nearest(key, known.iter().copied()) {
        Some(meant) => (format!("unknown {what}; did you mean {meant}?"), Some(meant.to_owned())),
        None => (format!("unknown {what}; known here are {}", known.join(", ")), None),
    }
}

/// Whether `table` is one of the tables that `home` stands for.
fn is_home(home: &str, table: &str) -> bool {
    let home = home.trim_start_matches("in ").trim_matches(['[', ']']);
    home.split('.').count() == table.split('.').count() && home.split('.').next() == table.split('.').next()
}

/// Keys that are often written one table too high or too low.
const HOMES: [(&str, &str); 19] = [
    ("url", "in [issuers.NAME]"),
    ("jwks_max_age", "in [issuers.NAME]"),
    ("verifiers", "in [issuers.NAME]"),
    ("skew", "in [issuers.NAME]"),
    ("openid_configuration", "in [issuers.NAME]"),
    ("known_to_verifiers", "in [issuers.NAME]"),
    ("max_keys", "in [issuers.NAME]"),
    ("algorithm", "in [issuers.NAME.rings.RING]"),
    ("active_period", "in [issuers.NAME.rings.RING]"),
    ("propagation", "in [issuers.NAME.rings.RING]"),
    ("retention", "in [issuers.NAME.rings.RING]"),
    ("drain", "in [issuers.NAME.rings.RING]"),
    ("token_lifetime_max", "in [issuers.NAME.rings.RING]"),
    ("sign_deadline", "in [backends.NAME]"),
    ("module", "in [backends.NAME]"),
    ("token", "in [backends.NAME]"),
    ("pin", "in [backends.NAME]"),
    ("allow_software_keys", "at the top of the file, above the first table"),
    ("installation", "at the top of the file, above the first table"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_answered_by_what_helps_most() {
        let known = "`x`, expected one of `drain`, `retention`, `skew`";
        for (key, table, answer, meant) in [
            ("drian", "issuers.a.rings.b", "unknown key; did you mean drain?", Some("drain")),
            ("skew", "issuers.a.rings.b", "unknown key here; skew belongs in [issuers.NAME]", None),
            ("colour", "log", "unknown key; known here are drain, retention, skew", None),
        ] {
            assert_eq!(unknown_key("key", key, known, table), (answer.to_owned(), meant.map(str::to_owned)));
        }
    }
}
