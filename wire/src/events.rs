//! Keys of the events that a server tells by itself to those who watch them.

/// Role, readiness and version, as connection pools look at them; while data load, how far that is.
pub const STATUS: &str = "box.status";
/// Number and UUIDs of the instance: never changes.
pub const ID: &str = "box.id";
/// The version of the schema.
pub const SCHEMA: &str = "box.schema";
/// Has no value until a stop is announced, then true. A drain waits for connections that watch it.
pub const SHUTDOWN: &str = "box.shutdown";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_tarantools() {
        let keys = [STATUS, ID, SCHEMA, SHUTDOWN];
        assert_eq!(keys, ["box.status", "box.id", "box.schema", "box.shutdown"]);
    }
}
