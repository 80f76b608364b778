//! Systems whose managers of services hand no sockets over.

use socket2::Socket;

use super::InheritError;

pub(super) fn handed_over() -> Result<Vec<(String, Socket)>, InheritError> {
    Ok(Vec::new())
}

pub(super) fn listens(_: &Socket) -> bool {
    true
}
