//! Where connections come from: TCP, a Unix socket, descriptors that a service manager hands over.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A place to listen at.
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, Option<SocketFile>),
}

/// A connection that has come.
pub enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

/// The socket's name in the file system; goes with its listener.
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    /// `host` is a name or an address; an IPv6 address may stand in brackets.
    pub async fn tcp(host: &str, port: u16) -> Result<Self, String> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let bound = TcpListener::bind((bare, port)).await;
        bound.map(Self::Tcp).map_err(|error| format!("bind {host}:{port} failed: {error}"))
    }

    /// Only its owner may connect; a socket that nobody listens at any more is replaced.
    pub fn unix(path: &Path) -> Result<Self, String> {
        let failed = |error: io::Error| format!("bind {} failed: {error}", path.display());
        if is_abandoned(path) {
            std::fs::remove_file(path).map_err(failed)?;
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        let file = SocketFile(path.to_owned());
        let owner_only = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path, owner_only).map_err(failed)?;
        Ok(Self::Unix(listener, Some(file)))
    }

    /// A listening socket of either kind that was inherited.
    pub fn inherited(fd: OwnedFd) -> io::Result<Self> {
        let tcp = std::net::TcpListener::from(fd);
        if tcp.local_addr().is_ok() {
            tcp.set_nonblocking(true)?;
            return TcpListener::from_std(tcp).map(Self::Tcp);
        }
        let unix = std::os::unix::net::UnixListener::from(OwnedFd::from(tcp));
        unix.local_addr()?;
        unix.set_nonblocking(true)?;
        UnixListener::from_std(unix).map(|listener| Self::Unix(listener, None))
    }

    pub fn address(&self) -> Address {
        match self {
            Self::Tcp(listener) => Address::Tcp(listener.local_addr().ok()),
            Self::Unix(listener, _) => {
                let address = listener.local_addr().ok();
                Address::Unix(address.and_then(|a| a.as_pathname().map(Path::to_owned)))
            }
        }
    }

    pub async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Head and body leave in one write; waiting for more would only delay them.
                stream.set_nodelay(true)?;
                Ok(Accepted::Tcp(stream, peer))
            }
            Self::Unix(listener, _) => Ok(Accepted::Unix(listener.accept().await?.0)),
        }
    }
}

/// Where a listener really listens.
#[derive(Clone, Debug)]
pub enum Address {
    Tcp(Option<SocketAddr>),
    Unix(Option<PathBuf>),
}

fn is_abandoned(path: &Path) -> bool {
    let is_socket = path.symlink_metadata().is_ok_and(|meta| meta.file_type().is_socket());
    is_socket
        && std::os::unix::net::UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}
