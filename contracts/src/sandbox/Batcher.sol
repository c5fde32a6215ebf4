// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// For tests: many transfers in one transaction, and native coin sent by an internal call, which
/// leaves no log and no transaction that names the receiver.
contract Batcher {
    using SafeERC20 for IERC20;

    struct Payment {
        address token;
        address to;
        uint256 value;
    }

    /// Pulls each payment from the caller, who has approved this contract for each token.
    function transferMany(Payment[] calldata payments) external {
        for (uint256 i = 0; i < payments.length; ++i) {
            IERC20(payments[i].token).safeTransferFrom(
                msg.sender, payments[i].to, payments[i].value
            );
        }
    }

    /// Sends `values[i]` of native coin to `to[i]`; their sum must be exactly what was sent here.
    function sendMany(address payable[] calldata to, uint256[] calldata values) external payable {
        require(to.length == values.length, "Batcher: lengths differ");
        for (uint256 i = 0; i < to.length; ++i) {
            (bool sent,) = to[i].call{value: values[i]}("");
            require(sent, "Batcher: a receiver refused");
        }
        require(address(this).balance == 0, "Batcher: values do not add up");
    }
}
