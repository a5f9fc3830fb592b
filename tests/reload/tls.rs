//! The files of TLS: who comes meets those of the last reload.

use std::path::Path;

use vestibule_client::{Client, TlsOptions};

use super::*;
use crate::support::pem;

/// A server that speaks TLS by the files that its own file names.
struct TlsRig {
    server: Server,
    directory: Directory,
}

impl TlsRig {
    fn start() -> Self {
        let directory = Directory::new();
        let file = directory.path().join("vestibule.toml");
        fs::write(&file, own_files(&directory)).unwrap();
        let file = file.to_str().unwrap();
        let tls = ["--config", file, "--tls-listen", "127.0.0.1:0"];
        let arguments = [&tls[..], &["--http-listen", "127.0.0.1:0"]].concat();
        let server = Server::start(directory.path(), &arguments);
        Self { server, directory }
    }

    fn reload(&self, text: &str) -> Frame {
        fs::write(self.directory.path().join("vestibule.toml"), text).unwrap();
        self.server.connect().call("vestibule.reload", NO_ARGS)
    }

    /// What is taken has to be this, and nothing waits for a restart.
    fn take(&self, text: &str, changed: &[&str]) {
        let told = self.reload(text);
        assert_eq!(told.code, 0, "{:?}", told.error_text());
        let report: Report = told.value();
        assert_eq!(report.changed, changed);
        assert_eq!(report.needs_restart, Vec::<String>::new());
    }

    /// Whether one is let in who shows no certificate, and one who does.
    fn are_let_in(&self) -> [bool; 2] {
        let address = self.server.tls_address();
        actix_rt::System::new().block_on(async {
            let trusting = TlsOptions::with_roots_file(pem("ca.pem")).unwrap();
            let showing = trusting.clone();
            let showing = showing.client_certificate_files(pem("client.pem"), pem("client.key"));
            let showing = showing.unwrap();
            [
                is_let_in(address, trusting).await,
                is_let_in(address, showing).await,
            ]
        })
    }
}

/// The server's certificate and its key, as a file names them.
fn own_files(directory: &Directory) -> String {
    let [certificate, key] = tls_files(directory.path());
    named(&certificate, &key)
}

fn named(certificate: &Path, key: &Path) -> String {
    let (certificate, key) = (certificate.display(), key.display());
    format!("[tls]\ncertificate = '{certificate}'\nkey = '{key}'\n")
}

async fn is_let_in(address: SocketAddr, tls: TlsOptions) -> bool {
    let client = Client::builder(address.to_string()).tls(tls);
    // By 1.3 a client may learn of a refusal with the first reply.
    match client.connect_timeout(support::PATIENCE).connect().await {
        Ok(client) => client.ping().await.is_ok(),
        Err(_) => false,
    }
}

#[test]
fn who_comes_by_tls_meets_the_files_of_the_last_reload() {
    let rig = TlsRig::start();
    assert_eq!(rig.are_let_in(), [true, true]);
    let own = own_files(&rig.directory);
    let with_authority = |file: &Path| format!("{own}client_ca = '{}'\n", file.display());
    rig.take(&with_authority(&pem("ca.pem")), &["tls.client_ca"]);
    assert_eq!(rig.are_let_in(), [false, true]);
    for (text, expected) in [
        (
            with_authority(Path::new("/nowhere/at/all.pem")),
            "vestibule.toml:4: 'tls.client_ca': /nowhere/at/all.pem: No such file",
        ),
        (
            own.replace("server.pem", "client.pem"),
            "vestibule.toml:3: 'tls.key': ",
        ),
    ] {
        let told = rig.reload(&text);
        assert_eq!(told.error_code(), Some(59), "{told:?}");
        let told = told.error_text().unwrap();
        assert!(told.contains(expected), "{told}");
        assert_eq!(rig.are_let_in(), [false, true], "{text}");
    }
    rig.take(&own, &["tls.client_ca"]);
    assert_eq!(rig.are_let_in(), [true, true]);
}

#[test]
fn the_page_warns_of_the_end_of_the_certificate_that_is_in_force() {
    if support::is_skipped("openssl") {
        return;
    }
    let rig = TlsRig::start();
    let [certificate, key] = ["soon.pem", "soon.key"].map(|own| rig.directory.path().join(own));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "7"])
        .args(["-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=soon"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(Stdio::null())
        .status();
    assert!(made.expect("openssl can be run").success());
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let is_warned_of = || {
        let status = get(rig.server.http_address(), "/status.txt").body;
        status.contains("soon.pem ends in 6 d")
    };
    assert!(!is_warned_of());
    let changed = ["tls.certificate", "tls.key"];
    rig.take(&named(&certificate, &key), &changed);
    assert!(is_warned_of());
    rig.take(&own_files(&rig.directory), &changed);
    assert!(!is_warned_of());
}

/// Anybody may ask for metrics, and where files are is nobody's business.
#[test]
fn metrics_name_the_files_of_tls_and_not_where_they_are() {
    let rig = TlsRig::start();
    let told = get(rig.server.http_address(), "/metrics").body;
    let ends = "vestibule_tls_certificate_not_after_timestamp_seconds{file=\"server.pem\"} ";
    assert!(told.contains(ends), "{told}");
    let [certificate, key] = tls_files(rig.directory.path());
    for file in [&certificate, &key] {
        let directory = file.parent().unwrap().to_str().unwrap();
        assert!(!told.contains(directory), "{told}");
    }
}
