//! Certificates that are renewed while a server serves: the files are looked at now and then, and
//! nobody tells it to.

mod support;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use support::{Directory, pem, tls_files};
use vestibule_actors::limits::CERTIFICATE_LOOK_PERIOD;
use vestibule_actors::testing::{Script, ScriptedEngine, TestServer, config};
use vestibule_actors::{RuntimeBuilder, TlsFiles, TlsIdentity};
use vestibule_client::{Client, TlsOptions};

/// A server whose certificate and key are in files of its own.
struct Rig {
    server: TestServer<ScriptedEngine>,
    files: [PathBuf; 2],
    _directory: Directory,
}

impl Rig {
    fn start() -> Self {
        let directory = Directory::new();
        let [certificate, key] = tls_files(directory.path());
        let own = directory.path().join("server.pem");
        fs::copy(certificate, &own).expect("the directory is ours");
        let identity = TlsIdentity::load(TlsFiles::new(&own, &key)).expect("they fit");
        let script = Script::default();
        let engine = move || Ok(script.engine());
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let builder = RuntimeBuilder::new(config(), engine, Script::procedures());
        let server = TestServer::start(builder.tls(identity, vec![any_port]));
        Self {
            server,
            files: [own, key],
            _directory: directory,
        }
    }

    /// Writes another certificate, or another key, where the one in use is.
    fn put(&self, file: usize, name: &str) {
        // In one step, as those do who renew them.
        let beside = self.files[file].with_extension("new");
        fs::copy(pem(name), &beside).expect("the directory is ours");
        let rights = fs::metadata(&self.files[file]).expect("it is there");
        fs::set_permissions(&beside, rights.permissions()).expect("it is ours");
        fs::rename(&beside, &self.files[file]).expect("the directory is ours");
    }

    /// What looks at changed files have come to: refused, and taken.
    fn renewals(&self) -> (u64, u64) {
        let told = self.server.handle().metrics().tls.renewals;
        (told["refused"], told["taken"])
    }

    /// The time of a look comes, and what it comes to.
    fn look(&self, expected: (u64, u64)) {
        self.server.wind(CERTIFICATE_LOOK_PERIOD);
        self.server
            .wait_until("the files are read", || self.renewals() == expected);
    }

    /// Whether clients take the server's certificate.
    fn are_let_in(&self) -> bool {
        let address = self.server.handle().tls_addresses()[0].to_string();
        let tls = TlsOptions::with_roots_file(pem("ca.pem")).expect("it is a certificate");
        actix_rt::System::new().block_on(async {
            let client = Client::builder(address).tls(tls);
            let client = client.connect_timeout(support::PATIENCE).connect();
            client.await.is_ok()
        })
    }
}

#[test]
fn a_pair_that_does_not_fit_is_told_and_not_taken_and_the_mended_one_is() {
    let rig = Rig::start();
    assert!(rig.are_let_in());
    // A moment of every renewal: one of the two is written.
    rig.put(0, "client.pem");
    rig.look((1, 0));
    assert!(rig.are_let_in());
    // It fits, and is no server's: who comes meets the new one.
    rig.put(1, "client.key");
    rig.look((1, 1));
    assert!(!rig.are_let_in());
    rig.put(0, "server.pem");
    rig.look((2, 1));
    assert!(!rig.are_let_in());
    rig.put(1, "server.key");
    rig.look((2, 2));
    assert!(rig.are_let_in());
    // Nothing has changed: nothing is read, nor counted.
    rig.server.wind(3 * CERTIFICATE_LOOK_PERIOD);
    assert_eq!(rig.renewals(), (2, 2));
}
