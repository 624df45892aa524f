//! The heart's own encoding of what it keeps: compact, in field order, with a format number in front.
//!
//! Owns: how words become octets for the store. Never knows: where the octets lie.
//! Damaged octets give [`Damaged`], never a panic and never an allocation larger than the input.

use mms::{
    Address, ContentClass, Domain, Expiry, ForwardReq, HeaderText, MailPath, MessageClass, MessageId, MmId,
    MmStatus, Number, Party, PreviouslySent, Priority, ReadStatus, RequestStatus, Timestamp, TransactionId,
    Version, Visibility,
};
use std::fmt::Display;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// The octets are not what this encoding writes: where, counted from their end, and what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// Octets left when it was noticed.
    pub left: usize,
    /// What was expected there.
    pub expected: &'static str,
}

/// What can be kept.
pub trait Pack: Sized {
    /// Append the encoding.
    fn pack(&self, out: &mut Vec<u8>);
    /// Read one value off the front.
    ///
    /// # Errors
    /// [`Damaged`] when the octets are not such a value.
    fn unpack(input: &mut &[u8]) -> Result<Self, Damaged>;
}

pub(crate) fn damaged<T>(input: &[u8], expected: &'static str) -> Result<T, Damaged> {
    Err(Damaged { left: input.len(), expected })
}

fn take<'a>(input: &mut &'a [u8], n: usize) -> Result<&'a [u8], Damaged> {
    match input.split_at_checked(n) {
        Some((taken, rest)) => {
            *input = rest;
            Ok(taken)
        }
        None => damaged(input, "more octets"),
    }
}

impl Pack for u64 {
    fn pack(&self, out: &mut Vec<u8>) {
        let mut left = *self;
        while left >= 0x80 {
            out.push(left as u8 | 0x80);
            left >>= 7;
        }
        out.push(left as u8);
    }

    fn unpack(input: &mut &[u8]) -> Result<Self, Damaged> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let [octet] = take(input, 1)? else { return damaged(input, "an octet") };
            value |= u64::from(octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                return Ok(value);
            }
        }
        damaged(input, "an integer")
    }
}

macro_rules! pack_int {
    ($($ty:ty),+) => { $(
        impl Pack for $ty {
            fn pack(&self, out: &mut Vec<u8>) {
                u64::from(*self).pack(out);
            }
            fn unpack(input: &mut &[u8]) -> Result<Self, Damaged> {
                let wide = u64::unpack(input)?;
                <$ty>::try_from(wide).or(damaged(input, stringify!($ty)))
            }
        }
    )+ };
}
pack_int!(u8, u16, u32);

impl Pack for bool {
    fn pack(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn unpack(input: &mut &[u8]) -> Result<Self, Damaged> {
        match u8::unpack(input)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => damaged(input, "a truth value"),
        }
    }
}

impl Pack for i64 {
    fn pack(&self, out: &mut Vec<u8>) {
        ((*self << 1 ^ *self >> 63) as u64).pack(out);
    }
    fn unpack(input: &mut &[u8]) -> Result<Self, Damaged> {
        let zigzag = u64::unpack(input)?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }
}

impl Pack for u128 {
    fn pack(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }
    fn unpack(input: &mut &[u8]) -> Result<Self, Damaged> {
        let octets = take(input, 16)?;
        octets.try_into().map(Self::from_be_bytes).or(damaged(input, "16 octets"))
    }
}

/// A text: its length, then its octets.
fn pack_str(text: &str, out: &mut Vec<u8>) {
    text.len().pack_len(out);
    out.extend_from_slice(text.as_bytes());
}

/// The text form of a value, as [`pack_str`] would have it, written where it belongs.
fn pack_shown(value: &impl Display, out: &mut Vec<u8>) {
    let at = out.len();
    out.push(0); // the length of nearly all of them takes one octet
    let _ = write!(out, "{value}"); // a Vec takes everything
    let len = out.len() - at - 1;
    if len < 0x80 {
        out[at] = len as u8;
    } else {
        let text = out.split_off(at + 1);
        out.truncate(at);
        len.pack_len(out);
        out.extend_from_slice(&text);
    }
}

impl Pack for String {
    fn pack(&self, out: &mut Vec<u8>) {
        pack_str(self, out);
    }
    fn unpack(input: &mut &[u8]) -> Result<Self, Damaged> {
        let len = usize::unpack_len(input)?;
        let octets = take(input, len)?;
        std::str::from_utf8(octets).map(str::to_owned).or(damaged(input, "UTF-8"))
    }
}

trait PackLen: Sized {
    fn pack_len(&self, out: &mut Vec<u8>);
    fn unpack_len(input: &mut &[u8]) -> Result<Self, Damaged>;
}

impl PackLen for usize {
    fn pack_len(&self, out: &mut Vec<u8>) {
        (*self as u64).pack(out);
    }
    fn unpack_len(input: &mut &[u8]) -> Result<Self, Damaged> {
        let len = u64::unpack(input)?;
        // Every element takes an octet at least, so a longer count is a lie and buys no allocation.
        match Self::try_from(len) {
            Ok(len) if len <= input.len() => Ok(len),
            _ => damaged(input, "a length"),
        }
    }
}

impl<T: Pack> Pack for Vec<T> {
    fn pack(&self, out: &mut Vec<u8>) {
        self.len().pack_len(out);
        self.iter().for_each(|item| item.pack(out));
    }
    fn unpack(input: &mut &[u8]) -> Result<Self, Damaged> {
        let len = usize::unpack_len(input)?;
        (0..len).map(|_| T::unpack(input)).collect()
    }
}

impl<T: Pack> Pack for Option<T> {
    fn pack(&self, out: &mut Vec<u8>) {
        self.is_some().pack(out);
        if let Some(value) = self {
            value.pack(out);
        }
    }
    fn unpack(input: &mut &[u8]) -> Result<Self, Damaged> {
        if bool::unpack(input)? { T::unpack(input).map(Some) } else { Ok(None) }
    }
}

impl<A: Pack, B: Pack> Pack for (A, B) {
    fn pack(&self, out: &mut Vec<u8>) {
        self.0.pack(out);
        self.1.pack(out);
    }
    fn unpack(input: &mut &[u8]) -> Result<Self, Damaged> {
        Ok((A::unpack(input)?, B::unpack(input)?))
    }
}

/// A struct, field by field, in the order given: one list for both directions.
macro_rules! pack_struct {
    ($ty:ident { $($field:ident),+ $(,)? }) => {
        impl $crate::pack::Pack for $ty {
            fn pack(&self, out: &mut Vec<u8>) {
                let Self { $($field),+ } = self;
                $($crate::pack::Pack::pack($field, out);)+
            }
            fn unpack(input: &mut &[u8]) -> Result<Self, $crate::pack::Damaged> {
                Ok(Self { $($field: $crate::pack::Pack::unpack(input)?),+ })
            }
        }
    };
}
/// A closed set of words as the number of its place in `ALL`.
macro_rules! pack_words {
    ($($ty:ty),+ $(,)?) => { $(
        impl $crate::pack::Pack for $ty {
            fn pack(&self, out: &mut Vec<u8>) {
                let place = Self::ALL.iter().position(|v| v == self).unwrap_or(usize::MAX);
                out.push(place as u8);
            }
            fn unpack(input: &mut &[u8]) -> Result<Self, $crate::pack::Damaged> {
                let place = u8::unpack(input)?;
                match Self::ALL.get(usize::from(place)) {
                    Some(value) => Ok(*value),
                    None => $crate::pack::damaged(input, stringify!($ty)),
                }
            }
        }
    )+ };
}
/// A type with a text form that it reads back.
macro_rules! pack_text {
    ($($ty:ty: $text:expr, $make:expr);+ $(;)?) => { $(
        impl Pack for $ty {
            fn pack(&self, out: &mut Vec<u8>) {
                $text(self, out);
            }
            fn unpack(input: &mut &[u8]) -> Result<Self, Damaged> {
                let text = String::unpack(input)?;
                $make(&text).or(damaged(input, stringify!($ty)))
            }
        }
    )+ };
}
pub(crate) use {pack_struct, pack_words};

pack_words!(RequestStatus, MmStatus, ReadStatus, Priority, Visibility, ContentClass);
pack_text!(
    Domain: |v: &Domain, out| pack_str(v.as_str(), out), |t: &str| t.parse::<Domain>();
    MailPath: pack_shown, |t: &str| t.parse::<MailPath>();
    HeaderText: |v: &HeaderText, out| pack_str(v.as_str(), out), HeaderText::new;
    MessageId: |v: &MessageId, out| pack_str(v.as_str(), out), MessageId::new;
    TransactionId: |v: &TransactionId, out| pack_str(v.as_str(), out), TransactionId::new;
);
pack_struct!(Version { major, minor, editorial });
pack_struct!(PreviouslySent { index, by, at });
pack_struct!(Party { address, domain, name });

impl Pack for Arc<str> {
    fn pack(&self, out: &mut Vec<u8>) {
        pack_str(self, out);
    }
    fn unpack(input: &mut &[u8]) -> Result<Self, Damaged> {
        Ok(String::unpack(input)?.into())
    }
}

impl Pack for Timestamp {
    fn pack(&self, out: &mut Vec<u8>) {
        self.millis().pack(out);
    }
    fn unpack(input: &mut &[u8]) -> Result<Self, Damaged> {
        i64::unpack(input).map(Self::from_millis)
    }
}

impl Pack for Duration {
    fn pack(&self, out: &mut Vec<u8>) {
        u64::try_from(self.as_millis()).unwrap_or(u64::MAX).pack(out);
    }
    fn unpack(input: &mut &[u8]) -> Result<Self, Damaged> {
        u64::unpack(input).map(Self::from_millis)
    }
}

impl Pack for MmId {
    fn pack(&self, out: &mut Vec<u8>) {
        self.bits().pack(out);
    }
    fn unpack(input: &mut &[u8]) -> Result<Self, Damaged> {
        u128::unpack(input).map(Self::from_bits)
    }
}

impl Pack for Expiry {
    fn pack(&self, out: &mut Vec<u8>) {
        match self {
            Self::At(at) => (0u8, *at).pack(out),
            Self::After(span) => (1u8, *span).pack(out),
        }
    }
    fn unpack(input: &mut &[u8]) -> Result<Self, Damaged> {
        match u8::unpack(input)? {
            0 => Timestamp::unpack(input).map(Self::At),
            1 => Duration::unpack(input).map(Self::After),
            _ => damaged(input, "an expiry"),
        }
    }
}

impl Pack for MessageClass {
    fn pack(&self, out: &mut Vec<u8>) {
        pack_shown(self, out);
    }
    fn unpack(input: &mut &[u8]) -> Result<Self, Damaged> {
        let text = String::unpack(input)?;
        let known = [Self::Personal, Self::Advertisement, Self::Informational, Self::Auto];
        match known.into_iter().find(|c| c.as_str() == text) {
            Some(class) => Ok(class),
            None => HeaderText::new(&text).map(Self::Other).or(damaged(input, "a message class")),
        }
    }
}

impl Pack for Address {
    fn pack(&self, out: &mut Vec<u8>) {
        let tag: u8 = match self {
            Self::Plmn(n) if n.is_international() => 0,
            Self::Plmn(_) => 1,
            Self::Email { .. } => 2,
            Self::Ipv4(_) => 3,
            Self::Ipv6(_) => 4,
            Self::ShortCode(_) => 5,
            Self::AlphaCode(_) => 6,
        };
        out.push(tag);
        match self {
            Self::Plmn(number) => pack_str(number.digits(), out),
            Self::Email { local, domain } => {
                local.pack(out);
                domain.pack(out);
            }
            Self::Ipv4(ip) => pack_shown(ip, out),
            Self::Ipv6(ip) => pack_shown(ip, out),
            Self::ShortCode(code) | Self::AlphaCode(code) => code.pack(out),
        }
    }

    fn unpack(input: &mut &[u8]) -> Result<Self, Damaged> {
        let tag = u8::unpack(input)?;
        let text = String::unpack(input)?;
        let address = match tag {
            0 => Number::international(&text).ok().map(Self::Plmn),
            1 => format!("{text}/TYPE=PLMN").parse().ok(),
            2 => Some(Self::Email { local: text, domain: Domain::unpack(input)? }),
            3 => text.parse().ok().map(Self::Ipv4),
            4 => text.parse().ok().map(Self::Ipv6),
            5 => Some(Self::ShortCode(text)),
            6 => Some(Self::AlphaCode(text)),
            _ => None,
        };
        address.map_or_else(|| damaged(input, "an address"), Ok)
    }
}

pack_struct!(ForwardReq {
    version,
    transaction_id,
    message_id,
    to,
    cc,
    from,
    content_type,
    content_transfer_encoding,
    message_class,
    date,
    expiry,
    delivery_report,
    originator_rs_delivery_report,
    priority,
    sender_visibility,
    read_reply,
    subject,
    ack_request,
    forward_counter,
    previously_sent,
    applic_id,
    reply_applic_id,
    aux_applic_info,
    content_class,
    drm_content,
    adaptation_allowed,
    originator_system,
    sender,
    internet_message_id,
    interconnect,
});
