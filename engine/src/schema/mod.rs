//! The system spaces: their rows, and the definitions of spaces that these make.
//!
//! | module | what |
//! |---|---|
//! | `system` | the system spaces, their rows as bytes and the rows they begin with |
//! | `build` | the definition of a space from its rows |

pub(crate) mod build;
pub(crate) mod system;
