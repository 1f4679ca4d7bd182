//! A connection over which one request after the other is asked.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::requests::Question;
use super::response::{self, Head, How};

/// One in so many answers is looked at as a whole.
const VERIFIED_EACH: u64 = 64;

/// A head is no longer.
const HEAD_MAX: usize = 16 * 1024;

/// A request under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) question: Question,
    /// When it was meant to be sent.
    pub(super) due_ns: u64,
}

/// An answer that came as a whole.
pub(super) struct Answer {
    pub(super) asked: Asked,
    pub(super) status: u16,
    pub(super) body_bytes: usize,
    pub(super) how: How,
    /// Of some.
    pub(super) body: Option<Vec<u8>>,
}

pub(super) struct Client {
    stream: TcpStream,
    pub(super) asked: Option<Asked>,
    /// What has come of a head.
    partial: Vec<u8>,
    /// The head of the answer whose body comes.
    head: Option<Head>,
    /// Bytes of the body that have not come.
    left: usize,
    /// The body, if it is looked at.
    body: Option<Vec<u8>>,
    /// Answers so far.
    answers: u64,
}

impl Client {
    /// Connects; `number` has those of several look at different answers.
    pub(super) fn connect(to: SocketAddr, number: u64) -> io::Result<Self> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            asked: None,
            partial: Vec::new(),
            head: None,
            left: 0,
            body: None,
            answers: number,
        })
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends a request. The kernel takes it as a whole: nothing else is under way.
    pub(super) fn send(&mut self, request: &[u8], asked: Asked) -> io::Result<()> {
        self.asked = Some(asked);
        let mut done = 0;
        while done < request.len() {
            match self.stream.write(&request[done..]) {
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what there is; gives the answer if it is there as a whole.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<Answer>> {
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let answer = self.take(&buffer[..count])?;
            // Epoll says so if more comes.
            if answer.is_some() || count < buffer.len() {
                return Ok(answer);
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<Option<Answer>> {
        let body = if self.head.is_some() {
            bytes
        } else if self.partial.is_empty() {
            match self.begin(bytes)? {
                Some(head) => &bytes[head.bytes..],
                None => return self.keep(bytes),
            }
        } else {
            self.partial.extend_from_slice(bytes);
            let partial = std::mem::take(&mut self.partial);
            match self.begin(&partial)? {
                // What has come of the body came with the last bytes.
                Some(head) => &bytes[bytes.len() - (partial.len() - head.bytes)..],
                None => return self.keep(&partial),
            }
        };
        if body.len() > self.left {
            return Err(invalid("more came than an answer"));
        }
        self.left -= body.len();
        if let Some(kept) = &mut self.body {
            kept.extend_from_slice(body);
        }
        if self.left > 0 {
            return Ok(None);
        }
        let head = self.head.take().ok_or_else(|| invalid("no head"))?;
        let asked = self.asked.take();
        self.answers += 1;
        Ok(Some(Answer {
            asked: asked.ok_or_else(|| invalid("an answer to nothing"))?,
            status: head.status,
            body_bytes: head.body_bytes,
            how: head.how,
            body: self.body.take(),
        }))
    }

    fn begin(&mut self, bytes: &[u8]) -> io::Result<Option<Head>> {
        let head = response::read(bytes).map_err(invalid)?;
        if let Some(head) = &head {
            self.head = Some(*head);
            self.left = head.body_bytes;
            // Why something is refused is told in any case.
            let is_kept = head.status >= 400 || self.answers.is_multiple_of(VERIFIED_EACH);
            self.body = is_kept.then(|| Vec::with_capacity(head.body_bytes));
        }
        Ok(head)
    }

    fn keep(&mut self, bytes: &[u8]) -> io::Result<Option<Answer>> {
        if bytes.len() > HEAD_MAX {
            return Err(invalid("too long a head"));
        }
        self.partial = bytes.to_vec();
        Ok(None)
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-cache: HIT\r\n\r\nhello";

    fn client() -> (Client, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Client::connect(listener.local_addr().unwrap(), 0).unwrap();
        (client, listener.accept().unwrap().0)
    }

    fn ask(client: &mut Client) {
        let question = Question::Known;
        let asked = Asked {
            question,
            due_ns: 7,
        };
        client.send(b"GET / HTTP/1.1\r\n\r\n", asked).unwrap();
    }

    #[test]
    fn an_answer_may_come_in_any_pieces() {
        let (mut client, _server) = client();
        for cut in 1..ANSWER.len() {
            ask(&mut client);
            // The first of so many is looked at.
            client.answers = 0;
            let (one, other) = ANSWER.split_at(cut);
            assert!(client.take(one).unwrap().is_none(), "{cut}");
            let answer = client.take(other).unwrap().unwrap();
            assert_eq!((answer.status, answer.body_bytes), (200, 5));
            assert_eq!((answer.how, answer.asked.due_ns), (How::Hit, 7));
            assert_eq!(answer.body.as_deref(), Some(&b"hello"[..]));
        }
    }

    #[test]
    fn most_bodies_are_only_counted() {
        let (mut client, mut server) = client();
        client.answers = 1;
        ask(&mut client);
        server.write_all(ANSWER).unwrap();
        client.stream.set_nonblocking(false).unwrap();
        let answer = client.read(&mut [0; 1024]).unwrap().unwrap();
        assert!(answer.body.is_none());
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for bytes in [&b"nonsense\r\n\r\n"[..], &[ANSWER, b"!"].concat()] {
            let (mut client, _server) = client();
            ask(&mut client);
            assert!(client.take(bytes).is_err());
        }
        // Nothing was asked.
        assert!(client().0.take(ANSWER).is_err());
    }
}
