//! The door's sockets: one for each address, and one for each group on each interface.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use bytes::Bytes;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

/// "All CoAP nodes" (RFC 7252 §12.8), of the link and of the site for IPv6.
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 1, 187);
const GROUPS: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfd), Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 0xfd)];
/// Questions to a group that may wait; more are lost.
const WAITING: usize = 64;
/// The longest question to a group that is looked at.
const QUESTION: usize = 1152;

/// Binds to each of the hosts (names or addresses, by commas).
pub async fn bind(hosts: &str, port: u16) -> Result<Vec<UdpSocket>, String> {
    let mut sockets = Vec::new();
    for host in hosts.split(',').map(str::trim) {
        let failed = |error: io::Error| format!("bind coap {host}:{port} failed: {error}");
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let socket = UdpSocket::bind((bare, port)).await.map_err(failed)?;
        ours_only(&socket).map_err(failed)?;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// What another program joined is no business of a socket of ours: it would take questions to a
/// group for questions to itself, and answer them with errors (RFC 7252 §8.2).
fn ours_only(socket: &UdpSocket) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let options = socket2::SockRef::from(socket);
        match socket.local_addr()? {
            SocketAddr::V4(_) => options.set_multicast_all_v4(false)?,
            SocketAddr::V6(_) => {
                options.set_multicast_all_v6(false)?;
                // IPv4 comes to this socket too, where it is not switched off; if it cannot, well.
                let _ = options.set_multicast_all_v4(false);
            }
        }
    }
    Ok(())
}

/// Joins the groups of an endpoint's family on these interfaces; what comes to them.
pub fn join(
    endpoint: &UdpSocket,
    interfaces: &[String],
) -> Result<mpsc::Receiver<(SocketAddr, Bytes)>, String> {
    let (sender, receiver) = mpsc::channel(WAITING);
    for name in interfaces {
        let joined = index(name).and_then(|interface| groups(endpoint, interface));
        let joined = joined.map_err(|error| format!("multicast on {name} failed: {error}"))?;
        for socket in joined {
            tokio::spawn(forward(socket, sender.clone()));
        }
    }
    Ok(receiver)
}

fn groups(endpoint: &UdpSocket, interface: u32) -> io::Result<Vec<UdpSocket>> {
    // Only now: while it was bound, nobody could bind to the same address unnoticed.
    socket2::SockRef::from(endpoint).set_reuse_address(true)?;
    let here = endpoint.local_addr()?;
    let addresses: Vec<SocketAddr> = match here {
        SocketAddr::V4(_) => vec![SocketAddrV4::new(GROUP, here.port()).into()],
        SocketAddr::V6(_) => {
            let of = |group| SocketAddrV6::new(group, here.port(), 0, interface).into();
            GROUPS.map(of).into()
        }
    };
    addresses.into_iter().map(|group| member(group, interface)).collect()
}

/// A socket that hears what is sent to this group on this interface, and nothing else.
fn member(group: SocketAddr, interface: u32) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    match group {
        SocketAddr::V4(group) => {
            let on = InterfaceIndexOrAddress::Index(interface);
            socket.bind(&SocketAddr::from(group).into())?;
            socket.join_multicast_v4_n(group.ip(), &on)?;
        }
        SocketAddr::V6(group) => {
            socket.set_only_v6(true)?;
            socket.bind(&SocketAddr::from(group).into())?;
            socket.join_multicast_v6(group.ip(), interface)?;
        }
    }
    let socket = UdpSocket::from_std(socket.into())?;
    ours_only(&socket)?;
    Ok(socket)
}

/// The number of an interface.
fn index(name: &str) -> io::Result<u32> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    if name.contains(['/', '\0']) || name.starts_with('.') {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let text = std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex"))?;
    text.trim().parse().map_err(|_| io::ErrorKind::InvalidData.into())
}

async fn forward(socket: UdpSocket, to: mpsc::Sender<(SocketAddr, Bytes)>) {
    let mut buffer = [0; QUESTION];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            () = to.closed() => return,
        };
        if let Ok((length, peer)) = received {
            // The question that finds no room is lost, as on a wire.
            let _ = to.try_send((peer, Bytes::copy_from_slice(&buffer[..length])));
        }
    }
}
