//! What is accepted and kept, and has no effect here.

use vestibule_actors::engine::Engine;

use super::V;
use crate::tests::{NONE, Rig};

/// What is no business of this engine is kept as it was given, through every change of the rest.
#[test]
fn options_that_mean_nothing_here_come_back_as_they_were_given() {
    let mut rig = Rig::new();
    let format = list![
        table! { name = "id", type = "num", comment = "the key" },
        list!["n", "*"],
        table! { name = "s", type = "str", is_nullable = true, tags = list![1, "x"] },
    ];
    let options = table! { is_local = true, defer_deletes = true, format = format };
    rig.call("box.schema.space.create", &("s", options));
    let kept = concat!(
        r#"[{"name": "id", "type": "num", "comment": "the key"}, "#,
        r#"{"name": "n", "type": "*"}, "#,
        r#"{"name": "s", "type": "str", "is_nullable": true, "tags": [1, "x"]}]"#
    );
    assert_eq!(rig.call("box.space.s:format", &NONE), format!("[{kept}]"));
    let options = table! {
        hint = false, dimension = 3, bloom_fpr = 1, parts = list![list![1, "unsigned"]]
    };
    rig.call("box.space.s:create_index", &("pk", options));
    rig.call("box.space.s:rename", &("t",));
    rig.call("box.space.t.index.pk:alter", &(table! { page_size = 512 },));
    rig.reopen();
    let space = rig.call("box.space._space:get", &(512,));
    let flags = r#"{"group_id": 1, "defer_deletes": true}"#;
    assert_eq!(
        space,
        format!(r#"[[512, 1, "t", "memtx", 0, {flags}, {kept}]]"#)
    );
    assert_eq!(
        rig.call("box.space._index:get", &([512, 0],)),
        concat!(
            r#"[[512, 0, "pk", "tree", {"unique": true, "dimension": 3, "bloom_fpr": 1, "#,
            r#""hint": false, "page_size": 512}, [[0, "unsigned"]]]]"#
        )
    );
    let wrong = table! { hint = 1 };
    assert_eq!(
        rig.call("box.space.t.index.pk:alter", &(wrong,)),
        "1: Illegal parameters, options parameter 'hint' should be of type boolean"
    );
    let hash = table! { hint = true, type = "hash" };
    assert_eq!(
        rig.call("box.space.t.index.pk:alter", &(hash,)),
        "14: Can't create or modify index 'pk' in space 't': hint is only reasonable with memtx \
         tree index"
    );
}

#[test]
fn a_function_with_a_body_is_kept_and_not_run() {
    let mut rig = Rig::new();
    let body = "function(a) return a end";
    let options = table! {
        body = body, is_deterministic = true, comment = "c", exports = list!["LUA", "SQL"],
        param_list = list!["any"], returns = "string", opts = table! { takes_raw_args = true }
    };
    assert_eq!(rig.call("box.schema.func.create", &("f", options)), "[]");
    rig.reopen();
    let row = rig.call("box.space._func:get", &(2,));
    let kept = concat!(
        r#"[[2, 1, "f", 0, "LUA", "function(a) return a end", "function", ["any"], "string", "#,
        r#""none", "none", true, false, true, ["LUA", "SQL"], {"takes_raw_args": true}, "c", "#
    );
    assert!(row.starts_with(kept), "{row}");
    let told = rig.engine.no_procedure("f").unwrap();
    assert_eq!(
        (told.code().0, told.message()),
        (
            5,
            "vestibule does not support calls of functions in Lua or C: what 'f' does is kept, \
             and not run"
        )
    );
    for (options, expected) in [
        (table! { language = "C" }, "[]"),
        (
            table! { language = "ZZ" },
            "100: Unsupported language 'ZZ' specified for function 'g'",
        ),
        (
            table! { language = "SQL_BUILTIN" },
            "50: Failed to create function 'g': given built-in is not predefined",
        ),
        (
            table! { foo = 1 },
            "1: Illegal parameters, unexpected option 'foo'",
        ),
        (
            table! { exports = "LUA" },
            "1: Illegal parameters, options parameter 'exports' should be of type table",
        ),
    ] {
        let told = rig.call("box.schema.func.create", &("g", options));
        assert_eq!(told, expected);
        rig.call("box.schema.func.drop", &("g", table! { if_exists = true }));
    }
    // A name alone is what it was.
    rig.call("box.schema.func.create", &("bare",));
    assert!(rig.engine.no_procedure("bare").is_none());
}

#[test]
fn rights_on_lua_and_sql_are_kept() {
    let mut rig = Rig::new();
    rig.call("box.schema.user.create", &("u",));
    for kind in ["lua_call", "lua_eval", "sql"] {
        assert_eq!(
            rig.call("box.schema.user.grant", &("u", "execute", kind)),
            "[]"
        );
        assert!(
            rig.call("box.schema.user.grant", &("u", "execute", kind))
                .starts_with("89: "),
            "{kind}"
        );
        assert!(
            rig.call("box.schema.user.grant", &("u", "read", kind))
                .starts_with("98: "),
            "{kind}"
        );
    }
    let info = rig.call("box.schema.user.info", &("u",));
    assert!(info.contains(r#"["execute", "lua_eval", ""]"#), "{info}");
    rig.reopen();
    let revoke = |rig: &mut Rig| rig.call("box.schema.user.revoke", &("u", "execute", "lua_eval"));
    assert_eq!(revoke(&mut rig), "[]");
    assert!(revoke(&mut rig).starts_with("91: "));
    assert_eq!(
        rig.call("box.schema.user.grant", &("u", "execute", "lua_call", "f")),
        "5: vestibule does not support grants on one object of kind 'lua_call'"
    );
}
