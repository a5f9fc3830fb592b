# Names for the scripts that do the work; nothing here is needed by a test or a document.

# The list of these names.
default:
    @just --list

# Everything that continuous integration runs.
check:
    .ci/run

# The README's test command: all tests, real connectors included.
test:
    tests/run

# What needs nothing but cargo.
quick:
    tests/run --quick

# The seeded simulation, with this many transitions.
simulate TRANSITIONS="1000000":
    VESTIBULE_SIMULATION_TRANSITIONS={{TRANSITIONS}} cargo test --release -p vestibule-actors --lib simulation

# Each fuzz target for this many seconds.
fuzz SECONDS="60":
    fuzz/run {{SECONDS}}

# The comparison with Tarantool and with the floor.
bench *ARGUMENTS:
    cargo build --release --locked
    benches/compare.py {{ARGUMENTS}}

# The documentation of all packages, private items included.
docs:
    cargo doc --workspace --no-deps --document-private-items --locked

# Whether the API of the packages breaks a promise made with the last tag; needs the internet.
semver:
    cargo install --locked cargo-semver-checks
    cargo semver-checks --workspace --exclude vestibule --exclude vestibule-bench --all-features \
        --baseline-rev "$(git describe --tags --abbrev=0)"

# Known vulnerabilities of what is linked in; needs the internet.
advisories:
    "$(tests/tool cargo-deny)" --workspace --locked check advisories
