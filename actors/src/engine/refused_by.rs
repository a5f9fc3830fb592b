//! Who refuses changes where there may be none.

/// Who refuses what would change data where nothing may be changed: on a replica, and in a
/// transaction that was begun on one. What [`Engine::set_read_only`](super::Engine::set_read_only)
/// returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedBy {
    /// The runtime, which does not look into procedures: whatever gets the engine as `&mut` is
    /// refused before it begins, by
    /// [`ErrorCode::READONLY`](vestibule_wire::ErrorCode::READONLY). What is told to read goes on:
    /// [`Procedures::read_only`](crate::Procedures::read_only),
    /// [`AsyncContext::read`](super::AsyncContext::read),
    /// [`RuntimeHandle::read`](crate::RuntimeHandle::read).
    Runtime,
    /// The engine, wherever it is changed: procedures are called, and may change what is nobody's
    /// data, or only read. `testing::check_engine` looks whether it does.
    Engine,
}
