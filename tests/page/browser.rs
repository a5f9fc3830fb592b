//! A real browser, driven over WebDriver by hand: a few calls, each one JSON over HTTP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use crate::support::{PATIENCE, Process, tool, wait_until};

/// Nothing that the browser does by itself, and no name but this machine's leads anywhere: it works
/// with the network off.
const ARGUMENTS: [&str; 8] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

/// One browser at a time: each takes a processor.
static ONE: Mutex<()> = Mutex::new(());

/// A browser with one tab. Dropped, it is closed.
pub(crate) struct Browser {
    driver: SocketAddr,
    session: String,
    /// Where the browser tells of its tabs.
    tabs: String,
    _process: Process,
    // Kept open: a driver whose output nobody reads would be stopped by a full pipe.
    _output: BufReader<ChildStdout>,
    _only: MutexGuard<'static, ()>,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let only = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut child = Command::new(tool("VESTIBULE_TEST_CHROMEDRIVER"))
            .arg("--port=0")
            .stdout(Stdio::piped())
            .spawn()
            .expect("it can be run");
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        let process = Process(child);
        let driver = SocketAddr::from(([127, 0, 0, 1], port(&mut output)));
        let options = json!({"binary": tool("VESTIBULE_TEST_CHROMIUM"), "args": ARGUMENTS});
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let made = call(driver, "POST", "/session", Some(&wanted));
        let session = made["sessionId"].as_str().expect("a session").to_owned();
        let tabs = made["capabilities"]["goog:chromeOptions"]["debuggerAddress"].as_str();
        Self {
            driver,
            session,
            tabs: tabs.expect("it is told").to_owned(),
            _process: process,
            _output: output,
            _only: only,
        }
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let path = format!("/session/{}{path}", self.session);
        call(self.driver, "POST", &path, Some(body))
    }

    pub(crate) fn open(&self, address: SocketAddr) {
        self.post("/url", &json!({"url": format!("http://{address}/")}));
    }

    /// What a script returns.
    pub(crate) fn script(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// What a script hands to `done`, when that is known.
    pub(crate) fn script_later(&self, script: &str) -> Value {
        let script = format!("const done = arguments[arguments.length - 1]; {script}");
        self.post("/execute/async", &json!({"script": script, "args": []}))
    }

    /// The text of an element, by its `id`.
    pub(crate) fn text(&self, id: &str) -> String {
        let told = self.script(&format!(
            "return document.getElementById('{id}').textContent"
        ));
        told.as_str().expect("there is one").to_owned()
    }

    /// Waits until an element has this text in it.
    pub(crate) fn wait_for(&self, id: &str, text: &str) {
        wait_until(&format!("{id} tells {text}"), || {
            self.text(id).contains(text)
        });
    }

    /// A command of the browser's own protocol.
    pub(crate) fn command(&self, name: &str, parameters: &Value) -> Value {
        self.post(
            "/goog/cdp/execute",
            &json!({"cmd": name, "params": parameters}),
        )
    }

    /// Shows the page as a screen of this size has it, light or dark.
    pub(crate) fn show(&self, width: u32, height: u32, scheme: &str) {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500,
        });
        self.command("Emulation.setDeviceMetricsOverride", &size);
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        self.command(
            "Emulation.setEmulatedMedia",
            &json!({"features": [feature]}),
        );
    }

    /// What there is to be seen from the top down to this height, as PNG.
    pub(crate) fn picture(&self, width: u32, height: u32) -> Vec<u8> {
        let clip = json!({"x": 0, "y": 0, "width": width, "height": height, "scale": 1});
        let taken = json!({"captureBeyondViewport": true, "clip": clip});
        let taken = self.command("Page.captureScreenshot", &taken);
        let data = taken["data"].as_str().expect("a picture");
        BASE64_STANDARD.decode(data).expect("it is base64")
    }

    /// What has come to a log since it was last asked for: `browser` is the console, `performance`
    /// has the requests.
    pub(crate) fn log(&self, kind: &str) -> Vec<Value> {
        let entries = self.post("/se/log", &json!({"type": kind}));
        entries.as_array().expect("a list").clone()
    }

    /// Opens another tab and looks at it: the first one is hidden. Returns the first one.
    pub(crate) fn hide_behind_another_tab(&self) -> String {
        let path = format!("/session/{}/window", self.session);
        let first = call(self.driver, "GET", &path, None);
        let made = self.post("/window/new", &json!({"type": "tab"}));
        self.look_at(made["handle"].as_str().expect("a tab"));
        first.as_str().expect("a tab").to_owned()
    }

    /// The titles of all tabs, whether anybody looks at them or not.
    pub(crate) fn titles(&self) -> Vec<String> {
        let address = self.tabs.replace("localhost", "127.0.0.1");
        let address = address.parse().expect("an address");
        let (_, told) = exchange(address, "GET", "/json", None).expect("it answers");
        let tabs: Vec<Value> = serde_json::from_str(&told).expect("a list");
        let titles = tabs.iter().filter_map(|own| own["title"].as_str());
        titles.map(str::to_owned).collect()
    }

    pub(crate) fn look_at(&self, tab: &str) {
        self.post("/window", &json!({"handle": tab}));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends with its session; the driver is ended after it. Nothing is asserted: a
        // test may have failed.
        let path = format!("/session/{}", self.session);
        let _ = exchange(self.driver, "DELETE", &path, None);
    }
}

/// The port that the driver tells.
fn port(output: &mut impl std::io::BufRead) -> u16 {
    for line in output.lines().map_while(Result::ok) {
        let told = line.split_once("successfully on port ");
        let digits = told.map(|(_, rest)| rest.trim_end_matches('.'));
        if let Some(port) = digits.and_then(|own| own.parse().ok()) {
            return port;
        }
    }
    panic!("the driver of the browser tells no port");
}

/// The value that a call is answered with.
fn call(driver: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> Value {
    let (status, text) = exchange(driver, method, path, body).expect("the driver answers");
    let answer: Value = serde_json::from_str(&text).expect("it answers as JSON");
    assert_eq!(status, 200, "{method} {path}: {}", answer["value"]);
    answer["value"].clone()
}

fn exchange(
    driver: SocketAddr,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> std::io::Result<(u16, String)> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut stream = TcpStream::connect(driver)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {driver}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut answer = String::new();
    // Some drivers keep the connection all the same: the length tells the end.
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    let mut status = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(own) = lower.strip_prefix("content-length:") {
            length = own.trim().parse().map_err(std::io::Error::other)?;
        } else if let Some(own) = lower.strip_prefix("http/1.1 ") {
            status = own[..3].parse().map_err(std::io::Error::other)?;
        }
    }
    reader.take(length).read_to_string(&mut answer)?;
    Ok((status, answer))
}
