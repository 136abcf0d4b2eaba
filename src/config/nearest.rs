//! The known word nearest to one that somebody mistyped.

/// The word of `known` that `given` was probably meant to be, if any is near enough.
pub(super) fn nearest<'k>(given: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let given = given.to_lowercase();
    let near = |word: &str| match word.to_lowercase() {
        // A part of the word was taken for the whole: `period` for `active_period`.
        word if given.len() >= 4 && word.contains(&given) => 1,
        word => distance(&given, &word),
    };
    let (far, word) = known.into_iter().map(|word| (near(word), word)).min_by_key(|(far, _)| *far)?;
    // About a third of the letters may be wrong, and a swapped pair in a word of four.
    (far <= given.chars().count().div_ceil(3)).then_some(word)
}

/// Levenshtein's distance: how many letters to insert, remove or replace.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(&b) {
            left = (diagonal + usize::from(letter != *other)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, left);
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_letters_to_change() {
        for (a, b, far) in
            [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("drain", "drian", 2)]
        {
            assert_eq!(distance(a, b), far, "{a} {b}");
        }
    }

    #[test]
    fn only_a_near_word_is_suggested() {
        let keys = ["retention", "drain", "backend", "active_period"];
        assert_eq!(nearest("retenton", keys), Some("retention"));
        assert_eq!(nearest("Backend", keys), Some("backend"));
        assert_eq!(nearest("drian", keys), Some("drain"));
        assert_eq!(nearest("sing", ["sign", "read"]), Some("sign"));
        assert_eq!(nearest("period", keys), Some("active_period"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(nearest("x", keys), None);
    }
}
