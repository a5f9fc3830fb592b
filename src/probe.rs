//! `vestibule probe`: asks a server's side door, as containers do that have no other client.
//!
//! One request of HTTP by hand: the door answers each connection once, and closes it.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use vestibule_client::TlsOptions;

use crate::asking;
use crate::cli::EXIT_USAGE;
use crate::cli::probe::{DoorAddress, HostPort, ProbeArgs};
use crate::terminal::one_line;

/// Most bytes of an answer that are read. Those of probes have some hundreds.
const ANSWER_SIZE_MAX: u64 = 64 << 10;

/// Asks, writes what was said, and tells by the exit code.
pub(crate) fn probe(args: &ProbeArgs) -> ExitCode {
    let (path, door) = match args.path().and_then(|path| Ok((path, door(args)?))) {
        Ok(asked) => asked,
        Err(text) => {
            eprintln!("vestibule: {text}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match asked(args, door, &path) {
        Ok(Answer { status: 200, text }) => {
            // That is told by the exit code as well.
            let _ = writeln!(io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Ok(Answer { status, text }) => {
            eprintln!("vestibule: {} answers {status}: {text}", args.http);
            ExitCode::FAILURE
        }
        Err(fault) => {
            eprintln!("vestibule: {} does not answer: {fault}", args.http);
            ExitCode::FAILURE
        }
    }
}

/// What a door answers.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    /// What it says, as one line that a terminal may be shown.
    text: String,
}

/// A side door, and what it is known by.
enum DoorTo<'a> {
    Tcp(&'a str),
    Tls(&'a HostPort, TlsOptions),
    Unix(&'a Path),
}

/// What is asked, with the files that it takes.
///
/// # Errors
///
/// By https it is not told what to trust, or that cannot be used.
fn door(args: &ProbeArgs) -> Result<DoorTo<'_>, String> {
    Ok(match &args.http {
        DoorAddress::Tcp(name) => DoorTo::Tcp(name),
        DoorAddress::Unix(path) => DoorTo::Unix(path),
        DoorAddress::Tls(own) => {
            let tls = args.tls.options()?;
            DoorTo::Tls(
                own,
                tls.ok_or("https needs --tls-ca: what to trust is told")?,
            )
        }
    })
}

fn asked(args: &ProbeArgs, door: DoorTo<'_>, path: &str) -> io::Result<Answer> {
    asking::wait_for(async {
        let answer = tokio::time::timeout(args.timeout, ask(door, path));
        answer.await.unwrap_or_else(|_| {
            let text = format!("nothing within {:?}", args.timeout);
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        })
    })?
}

async fn ask(door: DoorTo<'_>, path: &str) -> io::Result<Answer> {
    let bytes = match door {
        DoorTo::Tcp(name) => exchange(TcpStream::connect(name).await?, path).await?,
        DoorTo::Unix(socket) => exchange(UnixStream::connect(socket).await?, path).await?,
        DoorTo::Tls(own, tls) => {
            let stream = TcpStream::connect(&own.name).await?;
            exchange(tls.connect(stream, &own.host).await?, path).await?
        }
    };
    read(&bytes).ok_or_else(|| io::Error::other("what answers is no side door"))
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    path: &str,
) -> io::Result<Vec<u8>> {
    // The address may be named by a name that the door does not know; whose machine it is does not
    // matter to it.
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.take(ANSWER_SIZE_MAX).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// The status and the text of an answer; none if it is no HTTP.
fn read(bytes: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut line = head.lines().next()?.split(' ');
    line.next().filter(|own| own.starts_with("HTTP/1."))?;
    Some(Answer {
        status: line.next()?.parse().ok()?,
        text: one_line(body.trim_end()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_status_and_its_text() {
        let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 9\r\n\r\nloading\x1b\n";
        let expected = Answer {
            status: 503,
            text: "loading\\u{1b}".to_owned(),
        };
        assert_eq!(read(answer), Some(expected));
        for other in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\n",
            b"Tarantool 2.6.0 (Binary) 5\n\n\r\n\r\n",
            b"HTTP/1.1 yes\r\n\r\n",
        ] {
            assert_eq!(read(other), None, "{other:?}");
        }
    }
}
