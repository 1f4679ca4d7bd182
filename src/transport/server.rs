//! Listening: one port for REST and for upgrades.

mod arriving;
mod attended;
mod ending;

use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::Duration;

use super::Transport;
use super::accept::accept;
use super::held::{HeldStream, SocketHold};
use super::upgrade::upgrade;
use crate::stall::{self, Activity, ThreadKind, marked};
use actix_http::{HttpService, Request};
use actix_server::Server;
use actix_service::{
    Service as _, ServiceFactory, ServiceFactoryExt as _, apply_fn_factory, fn_service, map_config,
};
use actix_web::App;
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, ServiceRequest, ServiceResponse};

use attended::Attended;
pub use ending::Ending;

/// Listens on the configured address.
pub fn bind(http: &crate::config::Http) -> io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(http.bind);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&http.bind.into())?;
    let backlog = i32::try_from(http.backlog).unwrap_or(i32::MAX);
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Serves `app` and upgrades on a listener, on worker threads of its own. What `HttpServer` does
/// inside, and the hook for upgrades. Before the server is stopped its connections should be told
/// to finish, and waited for, by the [`Ending`].
pub fn serve<F, T, B>(
    listener: TcpListener,
    transport: Transport,
    app: F,
) -> io::Result<(Server, Ending)>
where
    F: Fn() -> App<T> + Clone + Send + 'static,
    T: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<B>,
            Error = actix_web::Error,
            InitError = (),
        > + 'static,
    B: MessageBody + 'static,
{
    let http = std::sync::Arc::clone(&transport.http);
    let local = listener.local_addr()?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let workers = if http.workers == 0 {
        cores
    } else {
        http.workers
    };
    let ending = Ending::new();
    let ended_by = ending.clone();
    let server = Server::build()
        .workers(workers)
        .backlog(http.backlog)
        .max_concurrent_connections(usize::MAX >> 1)
        // The waiting was done before, see `Ending`: this is for who comes at the last moment.
        .shutdown_timeout(1)
        .disable_signals()
        .listen("http", listener, move || {
            stall::watch_thread(ThreadKind::Worker);
            let (transport, arriving) = (transport.clone(), transport.clone());
            let config = AppConfig::default();
            let (opening, told) = (ending.clone(), ending.clone());
            let (opened, asked) = (ending.clone(), ending.clone());
            let head_timeout = Duration::from_millis(http.request_head_timeout_ms);
            let app = apply_fn_factory(
                map_config(app(), move |()| config.clone()),
                move |mut request: Request, app| {
                    let counted = Rc::new(asked.request());
                    let hold = request.conn_data::<SocketHold>().cloned();
                    let answering = hold.as_ref().map(SocketHold::answering);
                    if let Some(hold) = &hold {
                        arriving::attend(&mut request, hold, &counted);
                    }
                    let answer = app.call(request);
                    async move {
                        let answer = answer.await;
                        drop(counted);
                        answer.map(|answer: ServiceResponse<B>| {
                            answer.map_body(|_, body| Attended::new(body, answering))
                        })
                    }
                },
            );
            let http_service = HttpService::build()
                .graceful_shutdown_signal(move || told.told())
                .on_connect_ext(move |io: &HeldStream, connection| {
                    connection.insert(opened.connection());
                    connection.insert(io.hold());
                })
                .keep_alive(Duration::from_secs(http.keep_alive_s))
                .client_request_timeout(head_timeout)
                .client_disconnect_timeout(Duration::from_secs(1))
                .local_addr(local)
                .upgrade(fn_service(move |(request, framed): (Request, _)| {
                    let transport = transport.clone();
                    async move {
                        upgrade(transport, request, framed).await;
                        Ok::<(), actix_web::Error>(())
                    }
                }))
                .finish(app);
            let serving = fn_service(move |io| accept(io, opening.clone(), arriving.clone()));
            apply_fn_factory(serving.and_then(http_service), |io, serving| {
                marked(Activity::Http, Box::pin(serving.call(io)))
            })
        })?
        .run();
    Ok((server, ended_by))
}
