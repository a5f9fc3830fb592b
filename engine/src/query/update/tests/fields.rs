//! Assignment, insertion and deletion of fields.

use super::*;

#[test]
fn assignment_replaces_appends_and_fills_gaps_with_nil() {
    let tuple = [I(1), S("a"), I(3)];
    gives(
        &tuple,
        vec![op([S("="), I(1), A(vec![I(7)])])],
        &[I(1), A(vec![I(7)]), I(3)],
    );
    gives(&tuple, vec![op([S("="), I(-1), Nil])], &[I(1), S("a"), Nil]);
    gives(
        &tuple,
        vec![op([S("="), I(3), I(4)])],
        &[I(1), S("a"), I(3), I(4)],
    );
    gives(
        &tuple,
        vec![op([S("="), I(5), I(6)])],
        &[I(1), S("a"), I(3), Nil, Nil, I(6)],
    );
    gives(
        &tuple,
        vec![op([S("="), S("score"), I(0)])],
        &[I(1), S("a"), I(0)],
    );
    gives(&[], vec![op([S("="), I(1), I(0)])], &[Nil, I(0)]);
}

#[test]
fn insertion_goes_before_the_field_and_counts_minus_one_from_behind_the_last() {
    let tuple = [I(1), I(2)];
    gives(&tuple, vec![op([S("!"), I(0), I(0)])], &[I(0), I(1), I(2)]);
    gives(&tuple, vec![op([S("!"), I(-1), I(3)])], &[I(1), I(2), I(3)]);
    gives(&tuple, vec![op([S("!"), I(-3), I(0)])], &[I(0), I(1), I(2)]);
    gives(&tuple, vec![op([S("!"), I(2), I(3)])], &[I(1), I(2), I(3)]);
    gives(
        &tuple,
        vec![op([S("!"), I(4), I(5)])],
        &[I(1), I(2), Nil, Nil, I(5)],
    );
    fails(
        &tuple,
        vec![op([S("!"), I(-4), I(0)])],
        37,
        "Field -4 was not found in the tuple",
    );
}

#[test]
fn deletion_is_clipped_to_the_tuple() {
    let tuple = [I(1), I(2), I(3), I(4)];
    gives(&tuple, vec![op([S("#"), I(1), I(2)])], &[I(1), I(4)]);
    gives(&tuple, vec![op([S("#"), I(-1), I(1)])], &[I(1), I(2), I(3)]);
    gives(
        &tuple,
        vec![op([S("#"), I(2), I(u64::MAX.into())])],
        &[I(1), I(2)],
    );
    gives(&tuple, vec![op([S("#"), I(0), I(4)])], &[]);
    gives(&tuple, vec![op([S("#"), I(4), I(1)])], &tuple);
    let text = "Field 2 UPDATE error: cannot delete 0 fields";
    fails(&tuple, vec![op([S("#"), I(2), I(0)])], 29, text);
    let text = "Argument type in operation '#' on field 2 does not match field type: expected a \
                positive integer";
    fails(&tuple, vec![op([S("#"), I(2), I(-1)])], 26, text);
    fails(
        &tuple,
        vec![op([S("#"), I(-5), I(1)])],
        37,
        "Field -5 was not found in the tuple",
    );
}
