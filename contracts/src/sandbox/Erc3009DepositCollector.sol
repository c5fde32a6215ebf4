// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ChannelConfig, IDepositCollector} from "./BatchSettlement.sol";

interface IReceiveWithAuthorization {
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external;
}

/// Brings deposits of `batch-settlement` by ERC-3009: the payer signs once that this contract may
/// receive so many coins, for the one channel that the authorization's nonce is made from.
contract Erc3009DepositCollector is IDepositCollector {
    using SafeERC20 for IERC20;

    /// Where the escrow stands on every chain; nobody else is brought anything.
    address public constant ESCROW = 0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003;

    error OnlyEscrow();

    /// `data` is (validAfter, validBefore, salt, signature); the nonce is keccak256(channelId, salt).
    function collect(ChannelConfig calldata config, bytes32 channelId, uint256 amount, bytes calldata data) external {
        if (msg.sender != ESCROW) revert OnlyEscrow();
        (uint256 validAfter, uint256 validBefore, uint256 salt, bytes memory signature) =
            abi.decode(data, (uint256, uint256, uint256, bytes));
        IReceiveWithAuthorization(config.token).receiveWithAuthorization(
            config.payer,
            address(this),
            amount,
            validAfter,
            validBefore,
            keccak256(abi.encode(channelId, salt)),
            signature
        );
        IERC20(config.token).safeTransfer(ESCROW, amount);
    }
}
