//! What a KDC answers, as the library that we read it with takes it apart.

use hallpass::auth::spnego;
use picky_krb::data_types::EtypeInfo2;
use picky_krb::messages::{AsRep, EncAsRepPart, EncTgsRepPart, KrbError, TgsRep};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A reply without its length: a ticket, an error, hints, or what was sealed in one.
pub fn kdc_reply(bytes: &[u8]) {
    can_be_written::<KrbError>(bytes);
    can_be_written::<AsRep>(bytes);
    can_be_written::<TgsRep>(bytes);
    can_be_written::<EtypeInfo2>(bytes);
    can_be_written::<EncAsRepPart>(bytes);
    can_be_written::<EncTgsRepPart>(bytes);
    // A ticket of any size goes into our token whole.
    let token = spnego::initial(&[spnego::KERBEROS], bytes);
    assert!(token.windows(bytes.len().max(1)).next_back().is_some_and(|end| bytes.is_empty() || end == bytes));
}

/// What was understood can be written. It need not mean the same again: the library takes years beyond 9999.
fn can_be_written<T: DeserializeOwned + Serialize>(bytes: &[u8]) {
    let Ok(read) = picky_asn1_der::from_bytes::<T>(bytes) else { return };
    picky_asn1_der::to_vec(&read).expect("what was read can be written");
}
