//! Linux: the desktop's key ring where there is one, else the kernel's.

use super::Keeper;
use super::kernel::Kernel;
use super::secret_service::SecretService;

pub(super) fn all() -> Vec<Box<dyn Keeper>> {
    vec![Box::new(SecretService), Box::new(Kernel)]
}
