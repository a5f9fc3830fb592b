//! What is asked, what it is answered from, and the answer.
//!
//! | file | what |
//! |---|---|
//! | `question` | what is asked |
//! | `look` | what it is answered from |
//! | `answer` | answers, with the headers that all have |
//! | `events` | answers that go on |
//! | `patience` | how long they may |

mod answer;
mod events;
mod look;
mod patience;
mod question;

pub(crate) use answer::{Answer, Content, Later};
pub(crate) use look::Door;
pub(crate) use patience::Patience;
pub(crate) use question::Question;
