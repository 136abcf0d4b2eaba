//! What the router and its worker processes say to each other: frames of a length, a kind, an id and a body.
//!
//! Both ends are the same program, so there is no version in it. A worker is trusted as far as the module that
//! it has loaded: whatever it sends is parsed, and a frame that makes no sense ends it.

mod codec;
mod value;

use std::time::Duration;

pub use self::codec::Malformed;

use self::codec::{Put, Take};
use crate::backend::{BackendError, Destroyed, Found, Generated, Input, Probe, Signature};
use crate::ids::{Handle, Label};
use crate::jose::alg::KeySpec;

/// The longest frame. A signing input is at most as long as a request, which is far below.
pub const FRAME_MAX: usize = 16 * 1024 * 1024;

/// Bytes of a frame before its body: length of what follows, kind, id.
pub const HEAD: usize = 4 + 1 + 8;

/// Orders that wait at a worker for the next of its threads, and answers that go together, beyond what is needed for it
/// never to be idle: a token that signs faster than messages travel gets and gives several with each.
pub const BATCH: usize = 8;

/// Where the id stands.
const ID: std::ops::Range<usize> = 5..HEAD;

/// What a worker is told.
#[derive(Debug, PartialEq, Eq)]
pub enum Order<'a> {
    /// Open the token; the first order, and given once. The body is the caller's.
    Open(&'a [u8]),
    /// Sign an input.
    Sign(Sign<'a>),
    /// Do something that is not signing.
    Admin(Admin),
}

/// A signature that is wanted.
#[derive(Debug, PartialEq, Eq)]
pub struct Sign<'a> {
    /// By which its answer is known.
    pub id: u64,
    /// The key.
    pub handle: Handle,
    /// What the key was made for.
    pub spec: KeySpec,
    /// What to sign.
    pub input: Input<'a>,
}

/// Work that is not signing, for a worker of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admin {
    /// As [`crate::backend::Backend::generate`].
    Generate(Label, KeySpec),
    /// As [`crate::backend::Backend::destroy`].
    Destroy(Handle),
    /// As [`crate::backend::Backend::list`].
    List,
    /// As [`crate::backend::Backend::probe`].
    Probe,
}

/// What a worker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// It is logged in, and the keys that it was told of are what they should be.
    Ready,
    /// The signature with this id.
    Signed(u64, Signature),
    /// The signature with this id was not made, and the caller is to know why.
    Declined(u64, BackendError),
    /// A call is under way in the module; sent now and then, so that a stopped worker is known by its silence.
    Alive,
    /// The admin work is done, or was declined.
    Done(Result<Outcome, BackendError>),
    /// The worker can't go on with the module, and ends: with the id of the signature at which it came to that, or 0.
    Broken(u64, String),
    /// A call into the module, for the signature with this id, has lasted for so long that the worker gives it up.
    Hung(u64, Duration),
    /// The PIN was refused, now or before, and no further one is tried.
    Pin(String),
}

/// What came of admin work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The key.
    Generated(Generated),
    /// How its destruction ended.
    Destroyed(Destroyed),
    /// The keys of this installation.
    Found(Vec<Found>),
    /// What the token is.
    Probed(Probe),
}

impl Order<'_> {
    /// The frame of an order to open.
    pub fn open(body: &[u8]) -> Vec<u8> {
        frame(OPEN, 0, |out| out.extend_from_slice(body))
    }

    /// The frame of an order to sign; its id is set later by [`set_id`].
    pub fn sign(handle: &Handle, spec: KeySpec, input: Input<'_>) -> Vec<u8> {
        frame(SIGN, 0, |out| {
            value::put_spec(out, spec);
            out.text(handle.as_str());
            value::put_input(out, input);
        })
    }

    /// The frame of an order that is not about signing.
    pub fn admin(admin: &Admin) -> Vec<u8> {
        frame(ADMIN, 0, |out| match admin {
            Admin::Generate(label, spec) => {
                out.byte(0);
                out.text(&label.to_string());
                value::put_spec(out, *spec);
            }
            Admin::Destroy(handle) => {
                out.byte(1);
                out.text(handle.as_str());
            }
            Admin::List => out.byte(2),
            Admin::Probe => out.byte(3),
        })
    }
}

impl<'a> Order<'a> {
    /// Reads a frame without its length.
    ///
    /// # Errors
    /// [`Malformed`] if it is none.
    pub fn parse(frame: &'a [u8]) -> Result<Self, Malformed> {
        let mut take = Take(frame);
        let (kind, id) = (take.byte()?, take.number()?);
        match kind {
            OPEN => Ok(Self::Open(take.0)),
            SIGN => {
                let spec = value::spec(&mut take)?;
                let handle = Handle::new(take.text()?);
                let input = value::input(&mut take)?;
                Ok(Self::Sign(Sign { id, handle, spec, input }))
            }
            ADMIN => {
                let admin = match take.byte()? {
                    0 => Admin::Generate(value::label(&mut take)?, value::spec(&mut take)?),
                    1 => Admin::Destroy(Handle::new(take.text()?)),
                    2 => Admin::List,
                    3 => Admin::Probe,
                    _ => return Err(Malformed),
                };
                take.end()?;
                Ok(Self::Admin(admin))
            }
            _ => Err(Malformed),
        }
    }
}

impl Report {
    /// Appends this report as a frame.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ready => write(out, READY, 0, |_| {}),
            Self::Signed(id, Signature(bytes)) => write(out, SIGNED, *id, |out| out.extend_from_slice(bytes)),
            Self::Declined(id, error) => write(out, DECLINED, *id, |out| value::put_error(out, error)),
            Self::Alive => write(out, ALIVE, 0, |_| {}),
            Self::Done(result) => write(out, DONE, 0, |out| match result {
                Ok(outcome) => {
                    out.byte(1);
                    value::put_outcome(out, outcome);
                }
                Err(error) => {
                    out.byte(0);
                    value::put_error(out, error);
                }
            }),
            Self::Broken(id, text) => write(out, BROKEN, *id, |out| out.text(text)),
            Self::Hung(id, age) => {
                write(out, HUNG, *id, |out| out.number(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)));
            }
            Self::Pin(text) => write(out, PIN, 0, |out| out.text(text)),
        }
    }

    /// Reads a frame without its length.
    ///
    /// # Errors
    /// [`Malformed`] if it is none.
    pub fn parse(frame: &[u8]) -> Result<Self, Malformed> {
        let mut take = Take(frame);
        let (kind, id) = (take.byte()?, take.number()?);
        let report = match kind {
            READY => Self::Ready,
            SIGNED => return Ok(Self::Signed(id, Signature(take.0.to_vec()))),
            DECLINED => Self::Declined(id, value::error(&mut take)?),
            ALIVE => Self::Alive,
            DONE if take.byte()? == 1 => Self::Done(Ok(value::outcome(&mut take)?)),
            DONE => Self::Done(Err(value::error(&mut take)?)),
            BROKEN => Self::Broken(id, take.text()?.to_owned()),
            HUNG => Self::Hung(id, Duration::from_millis(take.number()?)),
            PIN => Self::Pin(take.text()?.to_owned()),
            _ => return Err(Malformed),
        };
        take.end()?;
        Ok(report)
    }
}

/// Gives the one frame in `frame` an id.
pub fn set_id(frame: &mut [u8], id: u64) {
    if let Some(place) = frame.get_mut(ID) {
        place.copy_from_slice(&id.to_le_bytes());
    }
}

/// The first whole frame in `bytes` without its length, and how many bytes it takes up; nothing if there is more to come.
///
/// # Errors
/// [`Malformed`] if it claims to be longer than any frame is.
pub fn next(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, Malformed> {
    let Some(len) = bytes.first_chunk::<4>() else { return Ok(None) };
    let len = usize::try_from(u32::from_le_bytes(*len)).map_err(|_| Malformed)?;
    if len > FRAME_MAX {
        return Err(Malformed);
    }
    Ok(bytes.get(4..4 + len).map(|frame| (frame, 4 + len)))
}

fn frame(kind: u8, id: u64, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(768);
    write(&mut out, kind, id, body);
    out
}

fn write(out: &mut Vec<u8>, kind: u8, id: u64, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.byte(kind);
    out.number(id);
    body(out);
    // A longer one than the length can say is longer than FRAME_MAX too, and refused by whoever reads it.
    let len = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&len.to_le_bytes());
    }
}

const OPEN: u8 = 1;
const SIGN: u8 = 2;
const ADMIN: u8 = 3;
const READY: u8 = 4;
const SIGNED: u8 = 5;
const DECLINED: u8 = 6;
const ALIVE: u8 = 7;
const DONE: u8 = 8;
const BROKEN: u8 = 9;
const HUNG: u8 = 10;
const PIN: u8 = 11;

#[cfg(test)]
mod tests;
