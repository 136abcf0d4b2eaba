//! One pass over the bytes of a JSON text: the grammar of RFC 8259 and our extra rules together.

use std::borrow::Cow;

use super::{JsonError, JsonFault, Limits, shown};

/// A member of an object that has been read or is being read.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Member<'a> {
    /// The name, its escapes resolved.
    pub(super) name: Cow<'a, str>,
    /// The name with its case folded, if that is another text.
    folded: Option<Box<str>>,
    /// The text of the value; empty until it has been read.
    pub(super) raw: &'a str,
}

impl Member<'_> {
    fn key(&self) -> &str {
        self.folded.as_deref().unwrap_or(&self.name)
    }
}

/// A string as it stands between its quotes.
#[derive(Clone, Copy)]
struct Quoted<'a> {
    body: &'a str,
    /// The same with both quotes.
    raw: &'a str,
    escaped: bool,
}

pub(super) struct Scanner<'a, 'l> {
    text: &'a str,
    at: usize,
    limits: &'l Limits,
    /// How many members have been seen in the whole text.
    count: usize,
    /// The members so far of every object that is still open, the innermost object's last.
    members: Vec<Member<'a>>,
}

/// The recursion never goes deeper, whatever the limits say: a level costs a stack frame.
const DEPTH_MAX: usize = 128;

/// Up to so many names are compared each with each, which needs no memory; more are sorted, so that a
/// hostile object costs no more than its bytes.
const FEW: usize = 24;

/// A number of fewer characters, and without an exponent, is finite as a double.
const DOUBLE_DIGITS: usize = 309;

type Scanned<T = ()> = Result<T, JsonError>;

impl<'a, 'l> Scanner<'a, 'l> {
    pub(super) fn new(text: &'a str, limits: &'l Limits) -> Self {
        Self { text, at: 0, limits, count: 0, members: Vec::with_capacity(16) }
    }

    /// Reads the whole text and returns the members of its object.
    pub(super) fn document(mut self) -> Scanned<Vec<Member<'a>>> {
        if self.text.len() > self.limits.bytes {
            return Err(JsonError::new(JsonFault::TooLong(self.limits.bytes)));
        }
        if self.text.starts_with('\u{feff}') {
            return Err(JsonError::new(JsonFault::ByteOrderMark));
        }
        self.blanks();
        match self.peek() {
            Some(b'{') => self.object(1)?,
            Some(b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                return Err(JsonError::new(JsonFault::NotAnObject));
            }
            _ => return Err(self.expected("an object")),
        }
        self.blanks();
        if self.at < self.text.len() {
            return Err(JsonError::new(JsonFault::Trailing(self.at)));
        }
        Ok(self.members)
    }

    /// Reads an object. Its members stay on the stack if it is the outermost one.
    fn object(&mut self, depth: usize) -> Scanned {
        self.enter(depth)?;
        let first = self.members.len();
        self.blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.expected("a member name"));
            }
            let quoted = self.string()?;
            self.open_member(quoted)?;
            self.blanks();
            self.step_over(b':', "a colon")?;
            self.blanks();
            let start = self.at;
            self.value(depth).map_err(|error| error.within(quoted.body))?;
            let raw = self.since(start);
            if let Some(member) = self.members.last_mut() {
                member.raw = raw;
            }
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.expected("a comma or the end of the object")),
            }
            self.blanks();
        }
        self.at += 1;
        self.check_names(first)?;
        if depth > 1 {
            self.members.truncate(first);
        }
        Ok(())
    }

    /// Puts a member on the stack, its value still to be read.
    fn open_member(&mut self, quoted: Quoted<'a>) -> Scanned {
        self.count += 1;
        if self.count > self.limits.members {
            return Err(JsonError::new(JsonFault::TooManyMembers(self.limits.members)));
        }
        let name = if quoted.escaped {
            Cow::Owned(serde_json::from_str(quoted.raw).map_err(|_| self.expected("a string"))?)
        } else {
            Cow::Borrowed(quoted.body)
        };
        let folded = fold(&name);
        self.members.push(Member { name, folded, raw: "" });
        Ok(())
    }

    /// Refuses two names that are the same to anybody, among the members from `first` on.
    fn check_names(&self, first: usize) -> Scanned {
        let members = self.members.get(first..).unwrap_or_default();
        let pair = if members.len() <= FEW {
            members.iter().enumerate().find_map(|(index, later)| {
                let earlier = members.iter().take(index).find(|earlier| earlier.key() == later.key())?;
                Some((earlier, later))
            })
        } else {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|member| member.key());
            sorted.iter().zip(sorted.iter().skip(1)).find(|(one, next)| one.key() == next.key()).map(|(e, l)| (*e, *l))
        };
        let Some((earlier, later)) = pair else { return Ok(()) };
        let fault = if earlier.name == later.name {
            JsonFault::Duplicate
        } else {
            JsonFault::CaseVariant(shown(&earlier.name).into_owned())
        };
        Err(JsonError::at_member(&later.name, fault))
    }

    fn array(&mut self, depth: usize) -> Scanned {
        self.enter(depth)?;
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        for index in 0.. {
            self.blanks();
            self.value(depth).map_err(|error| error.within_element(index))?;
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.expected("a comma or the end of the array")),
            }
        }
        self.at += 1;
        Ok(())
    }

    /// Steps over an opening bracket to the level `depth`, counted from 1.
    fn enter(&mut self, depth: usize) -> Scanned {
        let deepest = self.limits.depth.min(DEPTH_MAX);
        if depth > deepest {
            return Err(JsonError::new(JsonFault::TooDeep(deepest)));
        }
        self.at += 1;
        Ok(())
    }

    /// Reads a value that stands inside something of level `depth`.
    fn value(&mut self, depth: usize) -> Scanned {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            _ => Err(self.expected("a value")),
        }
    }

    fn literal(&mut self, word: &'static str) -> Scanned {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(self.expected("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    /// Source: RFC 8259, section 6: what a double holds is what readers agree on.
    fn number(&mut self) -> Scanned {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        let is_small = self.since(start).len() < DOUBLE_DIGITS && !self.since(start).contains(['e', 'E']);
        if is_small || self.since(start).parse::<f64>().is_ok_and(f64::is_finite) {
            return Ok(());
        }
        Err(JsonError::new(JsonFault::Number(self.at)))
    }

    fn digits(&mut self) -> Scanned {
        let count = self.rest().iter().take_while(|b| b.is_ascii_digit()).count();
        if count == 0 {
            return Err(self.expected("a digit"));
        }
        self.at += count;
        Ok(())
    }

    /// Reads a string, from its opening quote.
    fn string(&mut self) -> Scanned<Quoted<'a>> {
        let open = self.at;
        let mut escaped = false;
        self.at += 1;
        loop {
            let plain = self.rest().iter().take_while(|&&b| b != b'"' && b != b'\\' && b >= 0x20).count();
            self.at += plain;
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.expected("an escape instead of a control character")),
                None => return Err(self.expected("the end of the string")),
            }
        }
        let body = self.since(open + 1);
        self.at += 1;
        Ok(Quoted { body, raw: self.since(open), escaped })
    }

    fn escape(&mut self) -> Scanned {
        let start = self.at;
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => match self.unit()? {
                0xd800..=0xdbff => {
                    let low = if self.rest().starts_with(br"\u") {
                        self.at += 1;
                        self.unit()?
                    } else {
                        0
                    };
                    if !(0xdc00..=0xdfff).contains(&low) {
                        return Err(JsonError::new(JsonFault::LoneSurrogate(start)));
                    }
                }
                0xdc00..=0xdfff => return Err(JsonError::new(JsonFault::LoneSurrogate(start))),
                _ => {}
            },
            _ => return Err(self.expected("an escape of JSON")),
        }
        Ok(())
    }

    /// Reads `u` and four hexadecimal digits.
    fn unit(&mut self) -> Scanned<u32> {
        let mut unit = 0;
        for index in 1..=4 {
            let digit = self.rest().get(index).and_then(|&b| char::from(b).to_digit(16));
            unit = unit * 16 + digit.ok_or_else(|| self.expected("u and four hexadecimal digits"))?;
        }
        self.at += 5;
        Ok(unit)
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn step_over(&mut self, byte: u8, name: &'static str) -> Scanned {
        if self.peek() != Some(byte) {
            return Err(self.expected(name));
        }
        self.at += 1;
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// The text from `start` to here. Both lie beside ASCII characters, never inside a longer one.
    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn expected(&self, expected: &'static str) -> JsonError {
        JsonError::new(JsonFault::Syntax { expected, offset: self.at })
    }
}

/// A name with its case folded, if that changes it.
///
/// Lower case alone is not enough: the long s is lower case already, yet Go's decoder takes it for
/// an s. So every character goes down, up and down again, which joins at least what simple case
/// folding joins.
/// # Source
/// Unicode 16, section 5.18.4; Go, `encoding/json`, `foldName`.
pub(in crate::jose) fn fold(name: &str) -> Option<Box<str>> {
    if name.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
        return None;
    }
    let folded = if name.is_ascii() {
        name.to_ascii_lowercase()
    } else {
        let lower = name.chars().flat_map(char::to_lowercase);
        lower.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
    };
    (folded != name).then(|| folded.into_boxed_str())
}
