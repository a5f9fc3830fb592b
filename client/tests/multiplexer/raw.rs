//! A server by hand: it says what it is told to, be it what no server says.

use std::ops::RangeTo;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use vestibule_wire::Uuid;
use vestibule_wire::features::Features;
use vestibule_wire::frame::PREFIX_SIZE;
use vestibule_wire::greeting;
use vestibule_wire::groups::chunk::{self, Chunk, First};
use vestibule_wire::groups::{Agreement, Group};
use vestibule_wire::header::read_header;
use vestibule_wire::keys::RequestType;
use vestibule_wire::reply::{ReplyHeader, finish, write_data_head};
use vestibule_wire::request::{Body, decode};

/// A peer that is told what to do, greeted.
pub(crate) struct RawServer {
    listener: TcpListener,
}

pub(crate) struct RawConnection {
    pub(crate) socket: TcpStream,
    /// What the client holds, and the sync of its ID.
    pub(crate) asked: Option<Agreement>,
    id_sync: u64,
}

impl RawServer {
    pub(crate) async fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = listener.local_addr().unwrap().to_string();
        (Self { listener }, url)
    }

    /// Accepts and hears what the client asks for, without an answer to it.
    pub(crate) async fn accept(&self) -> RawConnection {
        let (mut socket, _) = self.listener.accept().await.unwrap();
        let greeting = greeting::encode(&Uuid::NIL, &[7; greeting::SALT_SIZE]);
        socket.write_all(&greeting).await.unwrap();
        let mut own = RawConnection {
            socket,
            asked: None,
            id_sync: 0,
        };
        let content = own.read_frame().await.unwrap();
        let (header, body) = read_header(&content).unwrap();
        let Ok(Body::Id(id)) = decode(RequestType::Id, body) else {
            panic!("the client begins with ID");
        };
        (own.asked, own.id_sync) = (id.chunks, header.sync);
        own
    }
}

impl RawConnection {
    /// Answers ID, with a window for chunks or none.
    pub(crate) async fn agree(&mut self, agreed: Option<Agreement>) {
        let reply = ReplyHeader {
            sync: self.id_sync,
            schema_version: 1,
        };
        let mut bytes = Vec::new();
        reply.write_id(&mut bytes, Features::SUPPORTED, agreed);
        self.socket.write_all(&bytes).await.unwrap();
    }

    /// The content of the next frame; `None` at the end of the connection.
    pub(crate) async fn read_frame(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; PREFIX_SIZE];
        self.socket.read_exact(&mut length).await.ok()?;
        let [_, size @ ..] = length;
        let mut content = vec![0; u32::from_be_bytes(size) as usize];
        self.socket.read_exact(&mut content).await.unwrap();
        Some(content)
    }

    /// The sync and the body of the next request of this type that comes whole; what comes before
    /// it is skipped.
    pub(crate) async fn next_of(&mut self, request_type: RequestType) -> (u64, Vec<u8>) {
        loop {
            let content = self.read_frame().await.expect("it is open");
            if Chunk::is_one(&content) {
                continue;
            }
            let (header, body) = read_header(&content).unwrap();
            if header.request_type == request_type as u64 {
                return (header.sync, body.to_vec());
            }
        }
    }

    /// Sends the first piece of a message.
    pub(crate) async fn send_piece(&mut self, number: u32, content: &[u8], part: RangeTo<usize>) {
        let first = First {
            group: Group::Call,
            total: content.len() as u32,
        };
        let piece = &content[part];
        let head = chunk::data(number, Some(first), piece.len() as u32);
        let bytes = [head.as_bytes(), piece].concat();
        self.socket.write_all(&bytes).await.unwrap();
    }

    /// Whether the client has sent anything that was not read.
    pub(crate) fn has_more(&self) -> bool {
        self.socket.try_read(&mut [0]).is_ok_and(|count| count > 0)
    }
}

pub(crate) const WINDOW: Agreement = Agreement {
    window: 64 << 10,
    messages_max: 4,
};

/// A reply with a value of this number of bytes, without its length.
pub(crate) fn reply_content(sync: u64, size: usize) -> Vec<u8> {
    let reply = ReplyHeader {
        sync,
        schema_version: 1,
    };
    let mut bytes = Vec::new();
    let start = reply.begin(&mut bytes);
    write_data_head(&mut bytes);
    bytes.extend_from_slice(&[0x91, 0xc6]);
    bytes.extend_from_slice(&(size as u32).to_be_bytes());
    bytes.resize(bytes.len() + size, 9);
    finish(&mut bytes, start);
    bytes.split_off(PREFIX_SIZE)
}
