// The official TypeScript client pays the official express server by batch-settlement; the server
// keeps its channels, and has our facilitator carry out what it asks. Reads one JSON object from the
// command line, prints one to the standard output.
import { HTTPFacilitatorClient } from "@x402/core/server";
import { toClientEvmSigner } from "@x402/evm";
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/client";
import { BatchSettlementEvmScheme as Server } from "@x402/evm/batch-settlement/server";
import { paymentMiddleware, x402ResourceServer } from "@x402/express";
import { wrapFetchWithPaymentFromConfig } from "@x402/fetch";
import express from "express";
import { createPublicClient, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";

const wanted = JSON.parse(process.argv[2]);
const { network, payTo, calls } = wanted;
const facilitator = new HTTPFacilitatorClient({ url: wanted.facilitator });
const scheme = new Server(payTo);
const server = new x402ResourceServer(facilitator).register(network, scheme);
const app = express();
const accepts = { scheme: "batch-settlement", price: "$0.01", network, payTo };
app.use(paymentMiddleware({ "GET /paid": { accepts, description: "a paid page" } }, server));
app.get("/paid", (_request, response) => response.json({ page: "what was paid for" }));

const listener = app.listen(0, "127.0.0.1", async () => {
  const url = `http://127.0.0.1:${listener.address().port}/paid`;
  try {
    const chain = createPublicClient({ transport: http(wanted.rpc) });
    const signer = toClientEvmSigner(privateKeyToAccount(wanted.privateKey), chain);
    const client = new BatchSettlementEvmScheme(signer, { salt: wanted.salt });
    const pay = wrapFetchWithPaymentFromConfig(fetch, { schemes: [{ network, client }] });
    const statuses = [];
    for (let call = 0; call < calls; call += 1) statuses.push((await pay(url)).status);
    const [kept] = await scheme.getStorage().list();
    const manager = scheme.createChannelManager(facilitator, network);
    const { claims } = await manager.claimAndSettle();
    const refund = await client.refund(url);
    console.log(JSON.stringify({ statuses, claims, refund, channel: kept.channelId }));
  } finally {
    listener.close();
  }
});
