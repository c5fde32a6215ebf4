// The official TypeScript client pays at an address. Reads one JSON object from the command line,
// prints one to the standard output.
import { ExactEvmScheme } from "@x402/evm";
import { decodePaymentResponseHeader, wrapFetchWithPaymentFromConfig } from "@x402/fetch";
import { privateKeyToAccount } from "viem/accounts";

const { url, network, privateKey } = JSON.parse(process.argv[2]);
const pay = wrapFetchWithPaymentFromConfig(fetch, {
  schemes: [{ network, client: new ExactEvmScheme(privateKeyToAccount(privateKey)) }],
});
const response = await pay(url);
const header = response.headers.get("PAYMENT-RESPONSE");
console.log(
  JSON.stringify({
    status: response.status,
    body: await response.text(),
    receipt: header && decodePaymentResponseHeader(header),
  }),
);
