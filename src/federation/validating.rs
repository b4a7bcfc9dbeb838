//! DNS by a resolver on this machine that validates DNSSEC, whose word for it is taken (the AD bit: RFC 4035 §4.9.3, RFC
//! 6840 §5.7). Over a network anybody could set that bit; and answers are kept by the resolver, so not here.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::dns::Answer;
use crate::runtime::random;

/// Bytes of an answer over UDP that no network has to cut.
const DATAGRAM: u16 = 1232;
/// How long one server has for one answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// How often every server is asked.
const ROUNDS: usize = 2;
/// Aliases in one answer.
const ALIASES: usize = 8;

/// Whom to ask.
pub(super) struct Validating {
    servers: Vec<SocketAddr>,
}

/// Why what DNS says is not known to be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotValidating {
    #[error(
        "the DNS server {0} is not on this machine, so that its word for signatures cannot be taken"
    )]
    Elsewhere(IpAddr),
    #[error("no DNS server is configured")]
    Nobody,
}

impl Validating {
    /// Asks these; without any those of the system. All must be on this machine.
    pub fn new(servers: &[SocketAddr]) -> Result<Validating, NotValidating> {
        let servers = match servers {
            [] => of_the_system(),
            _ => servers.to_vec(),
        };
        match servers.iter().find(|server| !server.ip().is_loopback()) {
            Some(server) => Err(NotValidating::Elsewhere(server.ip())),
            None if servers.is_empty() => Err(NotValidating::Nobody),
            None => Ok(Validating { servers }),
        }
    }

    /// Whom it asks.
    pub fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// Whether they validate: the root of DNS is signed.
    pub async fn validates(&self) -> bool {
        let root = self.ask(&Name::root(), RecordType::NS).await;
        root.is_ok_and(|answer| answer.signed)
    }

    /// Asks about a name; nothing there is an empty answer.
    ///
    /// # Errors
    /// Nobody answers, or what there is has a wrong signature: in words.
    pub async fn ask(&self, name: &Name, kind: RecordType) -> Result<Answer, String> {
        let mut why = String::new();
        for server in std::iter::repeat_n(&self.servers, ROUNDS).flatten() {
            let asked = tokio::time::timeout(PATIENCE, ask_one(*server, name, kind)).await;
            match asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(message) => match message.metadata.response_code {
                    ResponseCode::NoError | ResponseCode::NXDomain => {
                        return Ok(read(&message, name, kind));
                    }
                    ResponseCode::ServFail => {
                        why = format!(
                            "{server} answers SERVFAIL, as it does when a signature is wrong"
                        );
                    }
                    code => why = format!("{server} says {code}"),
                },
                Err(error) => why = format!("{server}: {error}"),
            }
        }
        Err(why)
    }
}

/// What the message says of a name, along its aliases. The AD bit is about all of it.
fn read(message: &Message, name: &Name, kind: RecordType) -> Answer {
    let mut at = name.clone();
    for _ in 0..ALIASES {
        let alias = message
            .answers
            .iter()
            .find_map(|record| match &record.data {
                RData::CNAME(to) if record.name == at => Some(to.0.clone()),
                _ => None,
            });
        match alias {
            Some(alias) => at = alias,
            None => break,
        }
    }
    let of = |record: &&hickory_resolver::proto::rr::Record| {
        record.name == at && record.record_type() == kind
    };
    let records = message.answers.iter().filter(of);
    Answer {
        data: records.map(|record| record.data.clone()).collect(),
        signed: message.metadata.authentic_data,
        name: at,
    }
}

async fn ask_one(server: SocketAddr, name: &Name, kind: RecordType) -> io::Result<Message> {
    let mut question = Message::query();
    question.metadata.id = u16::from_be_bytes(random::bytes());
    question.metadata.recursion_desired = true;
    question.metadata.authentic_data = true;
    question.add_query(Query::query(name.clone(), kind));
    let mut edns = Edns::new();
    edns.set_max_payload(DATAGRAM);
    question.set_edns(edns);
    let bytes = question.to_vec().map_err(io::Error::other)?;
    let answer = by_udp(server, &bytes, &question).await?;
    match answer.metadata.truncation {
        true => by_tcp(server, &bytes, &question).await,
        false => Ok(answer),
    }
}

async fn by_udp(server: SocketAddr, bytes: &[u8], question: &Message) -> io::Result<Message> {
    let own: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let socket = UdpSocket::bind((own, 0)).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = [0; DATAGRAM as usize];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let received = buffer.get(..length).unwrap_or_default();
        // What is no answer to this question came too late, or from somebody else.
        if let Some(answer) = answer_to(question, received) {
            return Ok(answer);
        }
    }
}

async fn by_tcp(server: SocketAddr, bytes: &[u8], question: &Message) -> io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(bytes).await?;
    let length = stream.read_u16().await?;
    let mut received = vec![0; usize::from(length)];
    stream.read_exact(&mut received).await?;
    answer_to(question, &received).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn answer_to(question: &Message, bytes: &[u8]) -> Option<Message> {
    let answer = Message::from_vec(bytes).ok()?;
    let same = answer.metadata.message_type == MessageType::Response
        && answer.metadata.id == question.metadata.id
        && answer.queries == question.queries;
    same.then_some(answer)
}

fn of_the_system() -> Vec<SocketAddr> {
    let Ok((config, _)) = read_system_conf() else {
        return Vec::new();
    };
    let servers = config.name_servers().iter().map(|server| {
        let port = server.connections.first().map_or(53, |one| one.port);
        SocketAddr::new(server.ip, port)
    });
    servers.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use hickory_resolver::proto::op::OpCode;
    use hickory_resolver::proto::rr::Record;
    use hickory_resolver::proto::rr::rdata::{A, CNAME};
    use tokio::net::TcpListener;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    #[test]
    fn only_servers_on_this_machine_are_believed() {
        let there: SocketAddr = "192.0.2.1:53".parse().unwrap();
        let here: SocketAddr = "127.0.0.1:53".parse().unwrap();
        assert!(Validating::new(&[here]).is_ok());
        let refused = Validating::new(&[here, there]).err();
        assert_eq!(refused, Some(NotValidating::Elsewhere(there.ip())));
    }

    #[test]
    fn aliases_are_followed_and_other_names_left_out() {
        let address = |last| RData::A(A::new(192, 0, 2, last));
        let record = |of: &str, data| Record::from_rdata(name(of), 60, data);
        let mut message = Message::response(1, OpCode::Query);
        message.metadata.authentic_data = true;
        message.add_answers([
            record("c.example.", address(9)),
            record("A.example.", RData::CNAME(CNAME(name("b.example.")))),
            record("b.example.", address(1)),
        ]);
        let answer = read(&message, &name("a.example."), RecordType::A);
        assert_eq!(answer.data, [address(1)]);
        assert_eq!(answer.name, name("b.example."));
        assert!(answer.signed);
        // Aliases in a circle end.
        let mut circle = Message::response(1, OpCode::Query);
        circle.add_answer(record(
            "a.example.",
            RData::CNAME(CNAME(name("a.example."))),
        ));
        assert!(
            read(&circle, &name("a.example."), RecordType::A)
                .data
                .is_empty()
        );
    }

    /// Answers one question that comes by UDP, first with another id, then with nothing but that it is too long; and by TCP.
    #[tokio::test]
    async fn wrong_answers_are_passed_over_and_long_ones_asked_for_by_tcp() {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(server).await.unwrap();
        let served = tokio::spawn(async move {
            let mut buffer = [0; 512];
            let (length, from) = udp.recv_from(&mut buffer).await.unwrap();
            let question = Message::from_vec(&buffer[..length]).unwrap();
            assert!(question.metadata.authentic_data);
            let mut answer = question.clone().into_response();
            answer.metadata.id = question.metadata.id.wrapping_add(1);
            udp.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
            answer.metadata.id = question.metadata.id;
            answer.metadata.truncation = true;
            udp.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
            let (mut stream, _) = tcp.accept().await.unwrap();
            let length = stream.read_u16().await.unwrap();
            stream
                .read_exact(&mut buffer[..usize::from(length)])
                .await
                .unwrap();
            answer.metadata.truncation = false;
            answer.add_answer(Record::from_rdata(
                name("x.example."),
                60,
                RData::A(A::new(192, 0, 2, 1)),
            ));
            let bytes = answer.to_vec().unwrap();
            let length = u16::try_from(bytes.len()).unwrap();
            stream.write_all(&length.to_be_bytes()).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
        });
        let validating = Validating::new(&[server]).unwrap();
        let asked = validating.ask(&name("x.example."), RecordType::A).await;
        assert_eq!(asked.unwrap().data.len(), 1);
        served.await.unwrap();
    }
}
