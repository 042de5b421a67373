//! The yardstick's server: see [`subrosa_bench::echo`]. It prints its address as JSON and serves until it is killed. With
//! `--broadcast`, what one connection sends goes to all others.

#[tokio::main]
async fn main() {
    if std::env::args().any(|arg| arg == "--broadcast") {
        subrosa_bench::echo::broadcast().await;
    } else {
        subrosa_bench::echo::serve().await;
    }
}
