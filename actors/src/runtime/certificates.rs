//! Files of certificates, looked at now and then.

use std::pin::pin;

use futures::future::{Either, select};

use super::handle::RuntimeHandle;
use crate::limits::CERTIFICATE_LOOK_PERIOD;
use crate::tls::TlsError;

/// Looks at the files of TLS, those of clients and those of upstreams, until the runtime has
/// stopped.
pub(super) fn follow<E: 'static>(runtime: &RuntimeHandle<E>) {
    let shared = &runtime.shared;
    if let Some((identity, _)) = shared.additions.tls.clone() {
        actix_rt::spawn(look(runtime.clone(), move || identity.reload_changed()));
    }
    let gateway = shared.gateway.as_ref();
    if let Some(tls) = gateway.and_then(|own| own.tls.clone()) {
        actix_rt::spawn(look(runtime.clone(), move || tls.reload_changed()));
    }
}

async fn look<E: 'static>(
    runtime: RuntimeHandle<E>,
    reload_changed: impl Fn() -> Result<bool, TlsError> + Clone + Send + 'static,
) {
    let mut stopped = pin!(runtime.stopped());
    let clock = runtime.shared.clock;
    loop {
        let pause = pin!(clock.sleep_until(clock.now() + CERTIFICATE_LOOK_PERIOD));
        let Either::Left(_) = select(pause, stopped.as_mut()).await else {
            return;
        };
        // A disk may take its time.
        match actix_rt::task::spawn_blocking(reload_changed.clone()).await {
            Ok(Ok(false)) | Err(_) => {}
            Ok(Ok(true)) => log::info!("the certificates of TLS are read again"),
            Ok(Err(fault)) => {
                log::error!("TLS goes on with the certificates that it had: {fault}");
            }
        }
    }
}
