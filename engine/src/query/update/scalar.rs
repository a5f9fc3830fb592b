//! Values that an operation computed: numbers, and texts in pieces.

use vestibule_wire::keys::EXT_DECIMAL;
use vestibule_wire::msgpack::{
    DecodeError, Integer, Kind, Reader, write_bin_len, write_f64, write_integer, write_str_len,
};

use super::decimal::Decimal;
use super::runs::{Run, Runs};

/// A number of any type that takes part in `+` and `-`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Number {
    Integer(Integer),
    Float(f32),
    Double(f64),
    /// Elsewhere: it is the largest by far and the rarest, and operations are moved about.
    Decimal(Box<Decimal>),
}

/// Why two numbers have no sum or difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArithmeticError {
    /// Beyond −2^63 … 2^64−1.
    IntegerOverflow,
    /// More than 38 digits before the point.
    DecimalOverflow,
    /// A float that no decimal can hold beside a decimal.
    NotDecimal,
}

impl Number {
    /// Reads a value; `None` if it is no number.
    #[inline]
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(value);
        Some(match reader.peek().ok()? {
            Kind::Uint | Kind::Int => Self::Integer(reader.read_integer().ok()?),
            // Widening a float and narrowing it again gives it back.
            Kind::Float => Self::Float(reader.read_f64().ok()? as f32),
            Kind::Double => Self::Double(reader.read_f64().ok()?),
            Kind::Ext => match reader.read_ext().ok()? {
                (EXT_DECIMAL, payload) => Self::Decimal(Decimal::unpack(payload)?.into()),
                _ => return None,
            },
            _ => return None,
        })
    }

    /// The sum, in the wider of both types: decimal over double over float over integer. A float
    /// that would lose digits becomes a double.
    pub(super) fn plus(&self, other: &Self) -> Result<Self, ArithmeticError> {
        self.combine(other, |a, b| a + b, |a, b| a + b, Decimal::plus)
    }

    /// The difference, as [`plus`](Self::plus).
    pub(super) fn minus(&self, other: &Self) -> Result<Self, ArithmeticError> {
        self.combine(other, |a, b| a - b, |a, b| a - b, Decimal::minus)
    }

    fn combine(
        &self,
        other: &Self,
        integers: fn(i128, i128) -> i128,
        floats: fn(f64, f64) -> f64,
        decimals: fn(&Decimal, &Decimal) -> Option<Decimal>,
    ) -> Result<Self, ArithmeticError> {
        Ok(match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => Self::Integer(
                Integer::from_i128(integers(a.to_i128(), b.to_i128()))
                    .ok_or(ArithmeticError::IntegerOverflow)?,
            ),
            (Self::Decimal(_), _) | (_, Self::Decimal(_)) => {
                let a = self.to_decimal().ok_or(ArithmeticError::NotDecimal)?;
                let b = other.to_decimal().ok_or(ArithmeticError::NotDecimal)?;
                Self::Decimal(
                    decimals(&a, &b)
                        .ok_or(ArithmeticError::DecimalOverflow)?
                        .into(),
                )
            }
            _ => {
                let exact = floats(self.to_f64(), other.to_f64());
                let is_double = matches!(self, Self::Double(_)) || matches!(other, Self::Double(_));
                let narrow = exact as f32;
                if is_double || f64::from(narrow) != exact {
                    Self::Double(exact)
                } else {
                    Self::Float(narrow)
                }
            }
        })
    }

    fn to_f64(&self) -> f64 {
        match *self {
            Self::Integer(Integer::Unsigned(value)) => value as f64,
            Self::Integer(Integer::Negative(value)) => value as f64,
            Self::Float(value) => f64::from(value),
            Self::Double(value) => value,
            Self::Decimal(_) => unreachable!("decimals are combined as decimals"),
        }
    }

    fn to_decimal(&self) -> Option<Decimal> {
        match self {
            Self::Integer(value) => Some(Decimal::from_integer(*value)),
            Self::Float(value) => Decimal::from_f64(f64::from(*value)),
            Self::Double(value) => Decimal::from_f64(*value),
            Self::Decimal(value) => Some(**value),
        }
    }

    /// Appends the value, integers in their shortest form.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Integer(value) => write_integer(out, *value),
            Self::Float(value) => {
                out.push(0xca);
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::Double(value) => write_f64(out, *value),
            Self::Decimal(value) => value.write(out),
        }
    }
}

/// A string or binary value as the pieces that splices left and put in. Nothing is copied before
/// the value is written, however many splices hit a long text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text<'a> {
    is_binary: bool,
    parts: Runs<&'a [u8]>,
}

impl Run for &[u8] {
    fn size(&self) -> usize {
        self.len()
    }

    fn cut(&mut self, keep: usize) -> Self {
        let (left, right) = self.split_at(keep);
        *self = left;
        right
    }
}

/// The bytes of a string or binary value.
pub(super) fn read_text<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    match reader.peek()? {
        Kind::Bin => reader.read_bin(),
        _ => reader.read_str_bytes(),
    }
}

impl<'a> Text<'a> {
    /// Reads a value; `None` if it is neither string nor binary.
    pub(super) fn read(value: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(value);
        let is_binary = reader.peek().ok()? == Kind::Bin;
        let bytes = read_text(&mut reader).ok()?;
        let mut text = Self {
            is_binary,
            parts: Runs::new(),
        };
        text.insert(0, bytes);
        Some(text)
    }

    /// Size in bytes.
    pub(super) fn size(&self) -> usize {
        self.parts.size()
    }

    /// Replaces `cut` bytes at `offset`, which must lie within the text, by `paste`.
    pub(super) fn splice(&mut self, offset: usize, cut: usize, paste: &'a [u8]) {
        self.parts.remove(offset, cut);
        self.insert(offset, paste);
    }

    fn insert(&mut self, offset: usize, bytes: &'a [u8]) {
        if !bytes.is_empty() {
            self.parts.insert(offset, bytes);
        }
    }

    /// Appends the value, as the type it was.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let size = u32::try_from(self.size()).expect("splices keep a text within 32 bits");
        if self.is_binary {
            write_bin_len(out, size);
        } else {
            write_str_len(out, size);
        }
        self.parts
            .iter()
            .for_each(|part| out.extend_from_slice(part));
    }
}
