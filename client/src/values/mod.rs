//! Values that MessagePack has by extension types: fields of tuples, arguments and results.
//!
//! | module | what |
//! |---|---|
//! | `extension` | how an extension value passes through serde |
//! | `decimal` | numbers of 38 digits |
//! | `datetime` | points in time |
//! | `interval` | spans of time |
//! | `uuid` | UUIDs |
//! | `any` | a value of any type, errors among them |

mod any;
mod datetime;
mod decimal;
mod extension;
mod interval;
mod uuid;

pub use any::Value;
pub use datetime::Datetime;
pub use decimal::{Decimal, ParseDecimalError};
pub use interval::{Adjust, Interval};
pub use uuid::UuidValue;
