//! `box.schema.*` and `box.space.*` as Lua callers use them, answered as Tarantool 2.6 does.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::tests::{Rig, pack, printed};

/// A value of any shape.
#[derive(Clone, Serialize)]
#[serde(untagged)]
enum V {
    Nil(()),
    Bool(bool),
    Number(i64),
    Str(&'static str),
    List(Vec<V>),
    Table(BTreeMap<&'static str, V>),
}

impl From<i64> for V {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<&'static str> for V {
    fn from(text: &'static str) -> Self {
        Self::Str(text)
    }
}

impl From<bool> for V {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl<const N: usize> From<[V; N]> for V {
    fn from(values: [V; N]) -> Self {
        Self::List(values.into())
    }
}

macro_rules! list {
    ($($value:expr),* $(,)?) => { V::from([$(V::from($value)),*]) };
}

macro_rules! table {
    ($($name:ident = $value:expr),* $(,)?) => {
        V::Table(std::collections::BTreeMap::from([$((stringify!($name), V::from($value))),*]))
    };
}

#[cfg(feature = "collations")]
mod collations;
mod defaults;
mod indexes;
mod kept;
mod monitoring;
mod sequences;
mod spaces;

fn serde_text(value: &V) -> String {
    let mut body = vec![0x81, 0x30];
    body.extend(pack(value));
    printed(&body)
}

#[test]
fn if_not_exists_is_a_boolean() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    let wrong =
        "1: Illegal parameters, options parameter 'if_not_exists' should be of type boolean";
    for procedure in [
        "box.schema.space.create",
        "box.schema.sequence.create",
        "box.space.s:create_index",
    ] {
        assert_eq!(
            rig.call(procedure, &("new", table! { if_not_exists = 1 })),
            wrong,
            "{procedure}"
        );
    }
}

#[test]
fn users_come_and_go() {
    let mut rig = Rig::new();
    let mut user = |method: &str, args: V| rig.call(&format!("box.schema.user.{method}"), &args);
    for (method, args, expected) in [
        ("create", list!["u", table! { password = "x" }], "[]"),
        ("create", list!["u"], "46: User 'u' already exists"),
        ("create", list!["u", table! { if_not_exists = true }], "[]"),
        (
            "create",
            list!["z", table! { foo = 1 }],
            "1: Illegal parameters, unexpected option 'foo'",
        ),
        ("exists", list!["u"], "[true]"),
        ("exists", list!["super"], "[false]"),
        ("passwd", list!["u", "y"], "[]"),
        ("passwd", list!["own"], "[]"),
        ("passwd", list!["nope", "x"], "45: User 'nope' is not found"),
        ("drop", list!["nope"], "45: User 'nope' is not found"),
        ("drop", list!["nope", table! { if_exists = true }], "[]"),
        (
            "drop",
            list!["admin"],
            "44: Failed to drop user or role 'admin': the user or the role is a system",
        ),
        ("drop", list!["u"], "[]"),
        ("exists", list!["u"], "[false]"),
    ] {
        assert_eq!(user(method, args), expected, "{method}");
    }
}

#[test]
fn what_can_be_called_is_listed() {
    let names = super::with_debug(super::standard()).names();
    for name in [
        "box.schema.space.create",
        "box.space.*",
        "vestibule.debug.sleep",
    ] {
        assert!(names.iter().any(|own| own == name), "{names:?}");
    }
}
