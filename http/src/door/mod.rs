//! What is asked, what it is answered from, and the answer.
//!
//! | file | what |
//! |---|---|
//! | `question` | what is asked |
//! | `look` | what it is answered from |
//! | `answer` | answers, with the headers that all have |

mod answer;
mod look;
mod question;

pub(crate) use answer::{Answer, Later};
pub(crate) use look::Door;
pub(crate) use question::Question;
