//! Systems without splice(2): all bytes go through memory of ours.

use std::io;

use tokio::net::TcpStream;

#[derive(Debug)]
pub enum Pipe {}

impl Pipe {
    pub fn take() -> Option<Self> {
        None
    }

    pub fn fill(&mut self, _: &TcpStream) -> io::Result<usize> {
        match *self {}
    }

    pub fn drain(&mut self, _: &TcpStream) -> io::Result<usize> {
        match *self {}
    }

    pub fn held(&self) -> usize {
        match *self {}
    }
}
