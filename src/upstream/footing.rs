//! The addresses of this machine that tunnels leave from. One that is gone, with a VPN or a cable, takes its tunnels
//! with it, and the kernel says so only after many minutes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::net::TcpStream;
use tokio::sync::watch;

/// One switch per address, which all tunnels from it share.
#[derive(Debug, Default)]
pub(super) struct Footings(Mutex<HashMap<IpAddr, watch::Sender<bool>>>);

impl Footings {
    pub fn of(&self, stream: &TcpStream) -> Footing {
        let address = stream.local_addr().ok().map(|address| address.ip().to_canonical());
        Footing(address.map(|address| self.stand_on(address)))
    }

    fn stand_on(&self, address: IpAddr) -> watch::Receiver<bool> {
        let mut footings = self.in_use();
        footings.entry(address).or_insert_with(|| watch::Sender::new(false)).subscribe()
    }

    pub fn addresses(&self) -> Vec<IpAddr> {
        let mut all: Vec<IpAddr> = self.in_use().keys().copied().collect();
        all.sort();
        all
    }

    pub fn abandon(&self, address: IpAddr) {
        if let Some(gone) = self.in_use().remove(&address.to_canonical()) {
            gone.send_replace(true);
        }
    }

    /// Without those that no tunnel stands on any more. A panic elsewhere leaves the map whole.
    fn in_use(&self) -> MutexGuard<'_, HashMap<IpAddr, watch::Sender<bool>>> {
        let mut footings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        footings.retain(|_, gone| gone.receiver_count() > 0);
        footings
    }
}

/// What a tunnel holds of the address it leaves from.
#[derive(Debug)]
pub struct Footing(Option<watch::Receiver<bool>>);

impl Footing {
    /// Waits until the address is gone.
    pub async fn lost(&mut self) {
        let told = match &mut self.0 {
            Some(gone) => gone.wait_for(|gone| *gone).await.is_ok(),
            None => false,
        };
        if !told {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_counts_while_tunnels_stand_on_it_and_only_its_own_are_told() {
        let footings = Footings::default();
        let (here, there): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        let (first, second, other) = (footings.stand_on(here), footings.stand_on(here), footings.stand_on(there));
        assert_eq!(footings.addresses(), [here, there]);
        drop(first);
        assert_eq!(footings.addresses(), [here, there]);
        footings.abandon("::ffff:192.0.2.1".parse().unwrap());
        assert_eq!((*second.borrow(), *other.borrow()), (true, false));
        assert_eq!(footings.addresses(), [there]);
        // The address is back: what stands on it now is not told of what was.
        assert!(!*footings.stand_on(here).borrow());
        drop(other);
        assert!(footings.addresses().is_empty());
    }
}
