//! What a KDC answers, as the library that we read it with takes it apart.

use hallpass::auth::spnego;
use picky_krb::data_types::EtypeInfo2;
use picky_krb::messages::{AsRep, EncAsRepPart, EncTgsRepPart, KrbError, TgsRep};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A reply without its length: a ticket, an error, hints, or what was sealed in one.
pub fn kdc_reply(bytes: &[u8]) {
    means_the_same::<KrbError>(bytes);
    means_the_same::<AsRep>(bytes);
    means_the_same::<TgsRep>(bytes);
    means_the_same::<EtypeInfo2>(bytes);
    means_the_same::<EncAsRepPart>(bytes);
    means_the_same::<EncTgsRepPart>(bytes);
    // A ticket of any size goes into our token whole.
    let token = spnego::initial(&[spnego::KERBEROS], bytes);
    assert!(token.windows(bytes.len().max(1)).next_back().is_some_and(|end| bytes.is_empty() || end == bytes));
}

/// What was understood is understood again when it is written.
fn means_the_same<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let Ok(read) = picky_asn1_der::from_bytes::<T>(bytes) else { return };
    let written = picky_asn1_der::to_vec(&read).expect("what was read can be written");
    assert_eq!(picky_asn1_der::from_bytes::<T>(&written).ok().as_ref(), Some(&read));
}
