// Wallets in this browser (EIP-6963): each gets a button that fills in the transfer. The wallet shows
// it and its owner decides; nothing here can send anything.
const found = new Map();

addEventListener("eip6963:announceProvider", (event) => {
  const { info, provider } = event.detail ?? {};
  if (!info?.uuid || !provider || found.has(info.uuid)) return;
  found.set(info.uuid, { name: String(info.name).slice(0, 40), provider });
  wallets();
});
dispatchEvent(new Event("eip6963:requestProvider"));

export function wallets() {
  const at = document.getElementById("wallets");
  if (!at) return;
  at.replaceChildren(
    ...[...found.values()].map(({ name, provider }) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "button plain";
      button.textContent = at.dataset.label.replace("%s", name);
      button.addEventListener("click", () => pay(at.dataset, provider, button));
      return button;
    }),
  );
}

async function pay({ chain, to, call, refused, sent }, provider, button) {
  const said = document.getElementById("wallet-said");
  button.disabled = true;
  said.textContent = "";
  try {
    const [from] = await provider.request({ method: "eth_requestAccounts" });
    const chainId = `0x${Number(chain).toString(16)}`;
    if ((await provider.request({ method: "eth_chainId" })) !== chainId) {
      await provider.request({ method: "wallet_switchEthereumChain", params: [{ chainId }] });
    }
    // Asked once more: a wallet that stays where it was would send coins on another network.
    if ((await provider.request({ method: "eth_chainId" })) !== chainId) throw new Error("network");
    await provider.request({ method: "eth_sendTransaction", params: [{ from, to, data: call, value: "0x0" }] });
    said.textContent = sent;
  } catch {
    said.textContent = refused;
  } finally {
    button.disabled = false;
  }
}
