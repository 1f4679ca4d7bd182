//! `nginx.conf` with its `#tls` lines: TLS and HTTP/2.

use std::net::TcpListener;
use std::process::Command;

use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::http::Request;

use crate::harness::dev_cluster::DevCluster;
use crate::harness::eventually;
use crate::harness::node::NodeOptions;
use crate::harness::process::Process;
use crate::harness::rest::register_at;
use crate::harness::tls::{Certificate, connect};

#[tokio::test]
async fn the_prepared_lines_speak_tls_and_http_2() {
    let mut cluster = DevCluster::start(1, NodeOptions::embedded()).await;
    let ada = register_at(&cluster.address, "ada").await;
    let folder = cluster.folder().path().join("tls");
    std::fs::create_dir_all(&folder).unwrap();
    let certificate = Certificate::new();
    certificate.write(&folder);
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);

    let nginx = cluster.folder().path().join("nginx");
    let config = std::fs::read_to_string(nginx.join("nginx.conf")).unwrap();
    let folder_text = folder.display().to_string();
    let config = config
        .replace(&format!("listen {} default_server;", cluster.address), "")
        .replace("#tls ", "")
        .replace("listen 443 ", &format!("listen {address} "))
        .replace(
            "/etc/nginx/tls/fullchain.pem",
            &format!("{folder_text}/cert.pem"),
        )
        .replace(
            "/etc/nginx/tls/privkey.pem",
            &format!("{folder_text}/key.pem"),
        )
        .replace(&nginx.display().to_string(), &folder_text);
    let file = folder.join("nginx.conf");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new("nginx");
    command.env("PATH", "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin");
    command.arg("-p").arg(&folder).arg("-c").arg(&file);
    let mut process =
        Process::spawn("nginx", command.args(["-e", "stderr", "-g", "daemon off;"])).unwrap();
    eventually("it listens", async || {
        TcpStream::connect(&address).await.ok()
    })
    .await;

    let mut client = certificate.client();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let stream = connect(&address, client).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let request = Request::get(format!("https://{address}/api/users/me"))
        .header("authorization", format!("Bearer {}", ada.token))
        .body(())
        .unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
    // Its workers end with it only if it is asked.
    process.end(Signal::TERM);
    assert!(cluster.stop().await.success());
}
