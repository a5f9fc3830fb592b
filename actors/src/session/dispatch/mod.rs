//! What becomes of a request that is decoded.
//!
//! | file | what |
//! |---|---|
//! | `local` | it is answered without Tx |

mod local;
